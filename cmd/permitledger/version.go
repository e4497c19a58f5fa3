package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// release is the version of the program.
const release = "0.1.0"

type versionCommand struct{}

// Run prints the version, the commit when the build knows it, and Go's.
func (versionCommand) Run(p *program) error {
	commit := "unknown commit"
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				commit = s.Value
			}
		}
	}
	_, err := fmt.Fprintf(p.stdout, "permitledger %s (%s, %s, %s/%s)\n", release, commit, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}
