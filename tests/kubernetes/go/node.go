package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	internalapi "k8s.io/cri-api/pkg/apis"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/cri-client/pkg/logs"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	_ "k8s.io/kubernetes/pkg/apis/core/install"
)

// node answers an API server that asks for logs: whose they are and whether there are any is in the pod's status, and
// the lines are in FOLDER/CONTAINER-ID.log, with FOLDER/CONTAINER-ID.ended beside it when the container has ended.
type node struct {
	folder string
	pods   kubernetes.Interface
}

func serveNode(address, cert, key, authority, folder, config string) error {
	pem, err := os.ReadFile(authority)
	if err != nil {
		return err
	}
	known := x509.NewCertPool()
	known.AppendCertsFromPEM(pem)
	rest, err := clientcmd.BuildConfigFromFlags("", config)
	if err != nil {
		return err
	}
	pods, err := kubernetes.NewForConfig(rest)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /containerLogs/{namespace}/{pod}/{container}", &node{folder, pods})
	server := &http.Server{
		Addr:      address,
		Handler:   mux,
		TLSConfig: &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: known, MinVersion: tls.VersionTLS12},
	}
	return server.ListenAndServeTLS(cert, key)
}

func (n *node) ServeHTTP(response http.ResponseWriter, request *http.Request) {
	namespace, name, container := request.PathValue("namespace"), request.PathValue("pod"), request.PathValue("container")
	options := &v1.PodLogOptions{}
	if err := legacyscheme.ParameterCodec.DecodeParameters(request.URL.Query(), v1.SchemeGroupVersion, options); err != nil {
		http.Error(response, err.Error(), http.StatusBadRequest)
		return
	}
	pod, err := n.pods.CoreV1().Pods(namespace).Get(request.Context(), name, metav1.GetOptions{})
	if err != nil {
		http.Error(response, err.Error(), http.StatusNotFound)
		return
	}
	id, err := containerID(pod, container, options.Previous)
	if err != nil {
		refuse(response, err)
		return
	}
	path := filepath.Join(n.folder, id+".log")
	response.Header().Set("Transfer-Encoding", "chunked")
	response.WriteHeader(http.StatusOK)
	out := flushing{response}
	if err := logs.ReadLogs(request.Context(), path, id, wanted(options), runtime{folder: n.folder}, out, out); err != nil {
		fmt.Fprint(out, err)
	}
}

// wanted says which lines are asked for.
func wanted(asked *v1.PodLogOptions) *logs.LogOptions {
	options := &logs.LogOptions{
		TailLines: asked.TailLines, LimitBytes: asked.LimitBytes, Follow: asked.Follow, Timestamp: asked.Timestamps,
	}
	if asked.SinceSeconds != nil {
		options.Since = time.Now().Add(-time.Duration(*asked.SinceSeconds) * time.Second)
	}
	if asked.SinceTime != nil {
		options.Since = asked.SinceTime.Time
	}
	return options
}

// refuse answers as a kubelet does: with text.
func refuse(response http.ResponseWriter, err error) {
	response.WriteHeader(http.StatusBadRequest)
	fmt.Fprint(response, err)
}

// containerID says whose log is wanted, or in a kubelet's words why there is none.
func containerID(pod *v1.Pod, name string, previous bool) (string, error) {
	status := statusOf(pod, name)
	if status == nil {
		return "", fmt.Errorf("container %q in pod %q is not available", name, pod.Name)
	}
	last := ""
	if ended := status.LastTerminationState.Terminated; ended != nil {
		last = ended.ContainerID
	}
	state := status.State
	switch {
	case previous && last == "":
		return "", fmt.Errorf("previous terminated container %q in pod %q not found", name, pod.Name)
	case previous:
		return bare(last), nil
	case state.Running != nil:
		return bare(status.ContainerID), nil
	case state.Terminated != nil && state.Terminated.ContainerID != "":
		return bare(state.Terminated.ContainerID), nil
	case last != "":
		return bare(last), nil
	case state.Terminated != nil:
		return "", fmt.Errorf("container %q in pod %q is terminated", name, pod.Name)
	case state.Waiting != nil:
		return "", waiting(pod.Name, name, state.Waiting.Reason)
	}
	return "", fmt.Errorf("container %q in pod %q is waiting to start - no logs yet", name, pod.Name)
}

func waiting(pod, container, reason string) error {
	said, known := map[string]string{
		"ErrImagePull":     "image can't be pulled",
		"ImagePullBackOff": "trying and failing to pull image",
	}[reason]
	if !known {
		said = reason
	}
	return fmt.Errorf("container %q in pod %q is waiting to start: %s", container, pod, said)
}

func statusOf(pod *v1.Pod, name string) *v1.ContainerStatus {
	for _, statuses := range [][]v1.ContainerStatus{
		pod.Status.ContainerStatuses, pod.Status.InitContainerStatuses, pod.Status.EphemeralContainerStatuses,
	} {
		for i := range statuses {
			if statuses[i].Name == name {
				return &statuses[i]
			}
		}
	}
	return nil
}

func bare(id string) string {
	_, found, is := strings.Cut(id, "://")
	if !is {
		return id
	}
	return found
}

// flushing sends each piece at once.
type flushing struct{ response http.ResponseWriter }

func (f flushing) Write(data []byte) (int, error) {
	written, err := f.response.Write(data)
	if flusher, is := f.response.(http.Flusher); is {
		flusher.Flush()
	}
	return written, err
}

// runtime knows which containers run; nothing else is asked of it.
type runtime struct {
	internalapi.RuntimeService
	folder string
}

func (r runtime) ContainerStatus(_ context.Context, id string, _ bool) (*runtimeapi.ContainerStatusResponse, error) {
	state := runtimeapi.ContainerState_CONTAINER_RUNNING
	if _, err := os.Stat(filepath.Join(r.folder, id+".ended")); err == nil {
		state = runtimeapi.ContainerState_CONTAINER_EXITED
	} else if !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	return &runtimeapi.ContainerStatusResponse{Status: &runtimeapi.ContainerStatus{Id: id, State: state}}, nil
}
