package faultproxy

import (
	"strings"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/protobuf/proto"
)

// Kind is a kind of call: service and method, and for reads what is read.
type Kind string

// The kinds of call that a ledger makes. There are others; they are called by
// the same rule.
const (
	Any          Kind = "any"
	Features     Kind = "ServerFeatures/GetSupportedMethods"
	Gossip       Kind = "Gossip/Read"
	Append       Kind = "Streams/Append"
	BatchAppend  Kind = "Streams/BatchAppend"
	ReadStream   Kind = "Streams/Read stream"
	ReadAll      Kind = "Streams/Read $all"
	SubscribeAll Kind = "Streams/Subscribe $all"
	GroupCreate  Kind = "PersistentSubscriptions/Create"
	GroupInfo    Kind = "PersistentSubscriptions/GetInfo"
	GroupReplay  Kind = "PersistentSubscriptions/ReplayParked"
	GroupRead    Kind = "PersistentSubscriptions/Read"
)

// pathOfRead is the one method that serves four kinds of call.
const pathOfRead = "/event_store.client.streams.Streams/Read"

// kindOf tells the kind of a call from the path of its method and the frame
// that its first message begins in.
func kindOf(path string, first []byte) Kind {
	if path == pathOfRead {
		return kindOfRead(first)
	}
	name := path[strings.LastIndexByte(path, '.')+1:] // the package goes
	return Kind(strings.TrimPrefix(name, "/"))
}

func kindOfRead(first []byte) Kind {
	const prefix = 5 // of a message in gRPC: compressed or not, and its length
	var req streams.ReadReq
	if len(first) < prefix || proto.Unmarshal(first[prefix:], &req) != nil {
		return "Streams/Read"
	}
	what, of := "Read", "stream"
	if req.GetOptions().GetSubscription() != nil {
		what = "Subscribe"
	}
	if req.GetOptions().GetAll() != nil {
		of = "$all"
	}
	return Kind("Streams/" + what + " " + of)
}
