package main

import (
	"fmt"
	"os"

	"permitledger/cmd/permitledger/council"
	"permitledger/cmd/permitledger/internal/folder"
)

type councilCommand struct {
	Init councilInitCommand `cmd:"" help:"Write a copy of the sample council to start from."`
}

type councilInitCommand struct {
	Dir    string `arg:"" help:"Folder to write into; it must be empty or not there yet." type:"path"`
	Houses int    `help:"Add so many more made-up houses in the zones, for long histories and measurements." default:"0"`
}

// Run writes the sample council.
func (c councilInitCommand) Run(p *program) error {
	town, err := council.Town(c.Houses)
	if err != nil {
		return err
	}
	if err := folder.MakeEmpty(c.Dir); err != nil {
		return fmt.Errorf("folder for the council: %w", err)
	}
	if err := os.CopyFS(c.Dir, town); err != nil {
		return fmt.Errorf("write the sample council: %w", err)
	}
	fmt.Fprintf(p.stderr, "The sample council is in %s. Everything in it is made up: begin with council.json, and see README.md there.\n"+
		"`permitledger config check --council %s` tells what is wrong in it.\n", c.Dir, c.Dir)
	return nil
}
