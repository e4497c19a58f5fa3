package main

import (
	"fmt"

	"permitledger/eventstore/node"
)

type nodeCommand struct {
	Listen string `help:"TCP address to listen on. Whoever reaches it may read and write everything." default:"127.0.0.1:2113"`
	Data   string `help:"Folder of the log." default:"./data/log" type:"path"`
}

// Run serves the node until the program is told to stop.
func (c nodeCommand) Run(p *program) error {
	n, err := node.Open(p.ctx, node.Options{Dir: c.Data, Listen: c.Listen, Logger: p.logger})
	if err != nil {
		return err
	}
	fmt.Fprintln(p.stdout, n.ConnectionString())
	<-p.ctx.Done()
	return n.Close()
}
