package main

import (
	"os"
	"os/signal"
	"syscall"
)

// onHangup calls reload at each SIGHUP, of which the program would otherwise
// die. After stop has returned it calls it no more.
func onHangup(reload func()) (stop func()) {
	hangups := make(chan os.Signal, 1)
	quit, ended := make(chan struct{}), make(chan struct{})
	signal.Notify(hangups, syscall.SIGHUP)
	go func() {
		defer close(ended)
		for {
			select {
			case <-hangups:
				reload()
			case <-quit:
				return
			}
		}
	}()
	return func() {
		signal.Stop(hangups)
		close(quit)
		<-ended
	}
}
