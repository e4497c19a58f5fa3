//go:build linux

package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// The disk fills up amid writers: the service says so, and once there is room
// again it starts and has all that it had acknowledged.
func TestAFullDiskLosesNothing(t *testing.T) {
	dir := place(t)
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=96m,mode=700"); err != nil {
		t.Skipf("no small file system can be mounted here: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	data := filepath.Join(dir, "data")
	r := launch(t, serveArgs(t, data)...)
	l := startLoad(t, r, 16)
	l.mayRefuse(true)
	l.reach(100)
	fill(t, filepath.Join(dir, "fill"))
	all := l.finish()
	r.kill()
	if said := r.said(); !strings.Contains(said, "no space left on device") && !strings.Contains(said, "disk is full") {
		t.Errorf("the log does not say that the disk is full:\n%s", said)
	}
	t.Logf("%d commands were acknowledged, then it said:\n%.1500s", len(all), r.said())

	out := refused(t, serveArgs(t, data)...)
	if !strings.Contains(out, "Free some space") {
		t.Errorf("a start on a full disk does not say what to do:\n%s", out)
	}
	if err := os.Remove(filepath.Join(dir, "fill")); err != nil {
		t.Fatal(err)
	}
	allThere(t, launch(t, serveArgs(t, data)...).address, all)
}

// fill writes a file until nothing more fits.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for block := make([]byte, 1<<20); len(block) > 0; {
		if _, err := f.Write(block); err != nil {
			block = block[:len(block)/2]
		}
	}
}
