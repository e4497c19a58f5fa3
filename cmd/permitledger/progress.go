package main

import (
	"fmt"
	"io"
	"os"
	"strings"
)

// progressBar draws how far something is, on a terminal only: elsewhere it
// would fill a log.
func progressBar(w io.Writer) func(done, total int) {
	f, ok := w.(*os.File)
	if !ok {
		return func(int, int) {}
	}
	if info, err := f.Stat(); err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return func(int, int) {}
	}
	const width = 40
	return func(done, total int) {
		if total <= 0 {
			return
		}
		full := width * done / total
		fmt.Fprintf(w, "\r[%s%s] %d of %d", strings.Repeat("=", full), strings.Repeat(" ", width-full), done, total)
		if done >= total {
			fmt.Fprintln(w)
		}
	}
}
