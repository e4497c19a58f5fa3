package eventstore

import (
	"errors"
	"net"
	"strings"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
)

// errNoHost is returned for a connection string without the name of a server.
var errNoHost = errors.New("connection string: it names no host; write esdb://host:2113, or several hosts of a cluster with commas between")

// errUnsent is returned for credentials that the client would not send to
// another machine.
var errUnsent = errors.New("connection string: it has a user and tls=false, and without TLS the user and the password are not sent; say tls=true, or leave the user out")

// seeds has a connection string with several hosts name them as seeds of a
// cluster, whatever its scheme. The client takes them for seeds only with
// esdb://; with esdb+discover:// it asks an empty address.
func seeds(connection string) string {
	scheme, rest, ok := strings.Cut(connection, "://")
	hosts, _, _ := strings.Cut(rest[strings.LastIndex(rest, "@")+1:], "?")
	if !ok || !strings.EqualFold(scheme, "esdb+discover") || !strings.Contains(hosts, ",") {
		return connection
	}
	return "esdb://" + rest
}

// checkHosts refuses a configuration with which no server could be reached, or
// not as the user that it names.
func checkHosts(conf *esdb.Configuration) error {
	local := true
	for _, host := range hostsOf(conf) {
		if host == "" {
			return errNoHost
		}
		local = local && onThisMachine(host)
	}
	if conf.Username != "" && conf.DisableTLS && !local {
		return errUnsent
	}
	return nil
}

// hostsOf lists the hosts where a client looks for a node first.
func hostsOf(conf *esdb.Configuration) (hosts []string) {
	for _, seed := range conf.GossipSeeds {
		hosts = append(hosts, seed.Host)
	}
	if hosts == nil {
		host, _, _ := strings.Cut(conf.Address, ":")
		hosts = []string{host}
	}
	return hosts
}

func onThisMachine(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
