// Command kubernetes is what tests need of a cluster, in one program: an API server with its store, and a node.
//
//	kubernetes api FOLDER CLIENT_URL PEER_URL FLAG…   etcd and kube-apiserver, both whole, in this process
//	kubernetes node ADDRESS CERT KEY CA FOLDER CONFIG  what a kubelet says of logs, read with kubelet's own code
//
// No container is run: whoever uses this says in the pods' status what has become of their containers, and writes
// their log files as a container runtime does.
package main

import (
	"fmt"
	"os"
)

func main() {
	var err error
	code := 0
	switch {
	case len(os.Args) > 4 && os.Args[1] == "api":
		code, err = serveAPI(os.Args[2], os.Args[3], os.Args[4], os.Args[5:])
	case len(os.Args) == 8 && os.Args[1] == "node":
		err = serveNode(os.Args[2], os.Args[3], os.Args[4], os.Args[5], os.Args[6], os.Args[7])
	default:
		err = fmt.Errorf("usage: kubernetes api FOLDER CLIENT_URL PEER_URL FLAG… | node ADDRESS CERT KEY CA FOLDER CONFIG")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}
