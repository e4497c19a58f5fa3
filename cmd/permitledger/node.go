package main

import (
	"fmt"

	"permitledger/eventstore/node"
)

// nodeCommand is the embedded node by itself. Without a sub-command it serves.
type nodeCommand struct {
	Serve nodeServeCommand `cmd:"" default:"withargs" help:"Run only the embedded EventStoreDB-compatible node, for other programs and tests. The same without the word serve: permitledger node [--listen ADDR] [--data DIR]."`
	Check nodeCheckCommand `cmd:"" help:"Hold a server to every rule that the ledger leans on, before it goes live."`
	User  nodeUserCommand  `cmd:"" help:"Make a line of the users file: a user who may call the node. The password comes on stdin and is kept as a hash."`
}

type nodeServeCommand struct {
	Listen string `help:"TCP address to listen on. One that other machines reach needs --tls-cert, --tls-key and --users." default:"127.0.0.1:2113"`
	Data   string `help:"Folder of the log." default:"./data/log" type:"path"`
	nodeAccess
}

// Run serves the node until the program is told to stop.
func (c nodeServeCommand) Run(p *program) error {
	n, err := node.Open(p.ctx, c.secure(node.Options{Dir: c.Data, Listen: c.Listen, Logger: p.logger}))
	if err != nil {
		return err
	}
	fmt.Fprintln(p.stdout, n.ConnectionString())
	<-p.ctx.Done()
	return n.Close()
}
