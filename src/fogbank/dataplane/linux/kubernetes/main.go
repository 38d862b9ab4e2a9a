// Kubernetes' own programs in one: the first argument chooses.
//
// With "supervise" it runs several of them, as its second argument says in JSON, in that order: the next one
// starts when the one before listens. When one ends, or it is told to end, all end in the opposite order.
package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

var commands = map[string]func() *cobra.Command{
	"apiserver":          apiserver.NewAPIServerCommand,
	"controller-manager": controllers.NewControllerManagerCommand,
	"scheduler":          func() *cobra.Command { return scheduler.NewSchedulerCommand() },
	"kubelet":            kubelet.NewKubeletCommand,
	"proxy":              proxy.NewProxyCommand,
}

func main() {
	if len(os.Args) < 2 {
		fail("which program?")
	}
	name := os.Args[1]
	switch name {
	case "supervise":
		supervise(os.Args[2])
	case "etcd":
		etcdmain.Main(append([]string{"etcd"}, os.Args[2:]...))
	default:
		command, known := commands[name]
		if !known {
			fail("no such program: " + name)
		}
		os.Args = append([]string{name}, os.Args[2:]...)
		os.Exit(cli.Run(command()))
	}
}

func fail(why string) {
	fmt.Fprintln(os.Stderr, why)
	os.Exit(2)
}

// A program of a supervisor: its arguments, and the address on which it listens when it is up.
type program struct {
	Arguments []string
	Listens   string
}

func supervise(text string) {
	var programs []program
	if err := json.Unmarshal([]byte(text), &programs); err != nil {
		fail("the list of programs cannot be read: " + err.Error())
	}
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGTERM, syscall.SIGINT)
	ended := make(chan string, len(programs))
	var running []*exec.Cmd
	var done []chan struct{}
	status := 0
	for _, each := range programs {
		command := exec.Command("/proc/self/exe", each.Arguments...)
		command.Stdout, command.Stderr = os.Stdout, os.Stderr
		if err := command.Start(); err != nil {
			fail(err.Error())
		}
		gone := make(chan struct{})
		running, done = append(running, command), append(done, gone)
		go func(name string) {
			command.Wait()
			close(gone)
			ended <- name
		}(each.Arguments[0])
		if !comesUp(each.Listens, told, ended) {
			status = 1
			break
		}
	}
	if status == 0 {
		select {
		case <-told:
		case name := <-ended:
			fmt.Fprintln(os.Stderr, name, "has ended")
			status = 1
		}
	}
	for i := len(running) - 1; i >= 0; i-- {
		running[i].Process.Signal(syscall.SIGTERM)
		select {
		case <-done[i]:
		case <-time.After(5 * time.Second):
			running[i].Process.Kill()
		}
	}
	os.Exit(status)
}

// comesUp waits until address accepts connections; false when a program ends before, or all are to end.
func comesUp(address string, told chan os.Signal, ended chan string) bool {
	for address != "" {
		if connection, err := net.DialTimeout("tcp", address, time.Second); err == nil {
			connection.Close()
			return true
		}
		select {
		case <-told:
			return false
		case name := <-ended:
			fmt.Fprintln(os.Stderr, name, "has ended")
			return false
		case <-time.After(50 * time.Millisecond):
		}
	}
	return true
}
