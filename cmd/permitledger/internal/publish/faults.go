package publish

import (
	"fmt"
	"strings"
)

// Fault is one thing in a council folder that is not right.
type Fault struct {
	File    string
	Line    int    // from 1; 0 when it is about the file as a whole
	Problem string // what is wrong
	Do      string // what to do about it
}

// Error gives file, line, problem and what to do.
func (f Fault) Error() string {
	return fmt.Sprintf("%s: %s: %s", at(f.File, f.Line), f.Problem, f.Do)
}

// Faults are all that is not right in a folder, in the order of its files.
type Faults []Fault

// faultsShown is how many faults an error text tells in full; a file saved in
// the wrong form has one on every line.
const faultsShown = 20

// Error gives the faults one a line.
func (fs Faults) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "the council folder cannot be published, nothing was:")
	for i, f := range fs {
		if i == faultsShown {
			fmt.Fprintf(&b, "\n  and %d more", len(fs)-i)
			break
		}
		b.WriteString("\n  " + f.Error())
	}
	return b.String()
}

// add notes a fault.
func (fs *Faults) add(file string, line int, do, problem string, args ...any) {
	*fs = append(*fs, Fault{File: file, Line: line, Problem: fmt.Sprintf(problem, args...), Do: do})
}

// at names a line of a file.
func at(file string, line int) string {
	if line == 0 {
		return file
	}
	return fmt.Sprintf("%s:%d", file, line)
}
