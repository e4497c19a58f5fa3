//go:build unix

package main

import "syscall"

// keepPrivate makes every file and folder of this process its owner's only,
// whatever part of the program makes it.
func keepPrivate() { syscall.Umask(0o077) }
