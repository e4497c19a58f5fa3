//go:build !unix

package main

// keepPrivate does nothing where there are no modes.
func keepPrivate() {}
