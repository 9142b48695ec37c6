// Load on NATS JetStream, by nats.go, with which `nats bench` measures too.
//
//	load write ADDRESS STREAM BYTES IN_FLIGHT WARM_UP_MS MEASURE_MS
//	load read  ADDRESS STREAM LIMIT MEASURE_MS
//
// Prints `measuring` when the measurement begins, and `result RECORDS SECONDS P50_US P99_US` at its
// end. Then it waits until its input ends, so that its processor time can be read.
package main

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
)

func number(index int) int {
	value, err := strconv.Atoi(os.Args[index])
	must(err)
	return value
}

func millis(index int) time.Duration { return time.Duration(number(index)) * time.Millisecond }

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func main() {
	connection, err := nats.Connect(os.Args[2])
	must(err)
	if os.Args[1] == "write" {
		write(connection)
	} else {
		read(connection)
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
}

func write(connection *nats.Conn) {
	stream, record, inFlight := os.Args[3], bytes.Repeat([]byte("r"), number(4)), number(5)
	js, err := connection.JetStream(nats.PublishAsyncMaxPending(2*inFlight + 1))
	must(err)
	_, err = js.AddStream(&nats.StreamConfig{Name: stream, Subjects: []string{stream}, Storage: nats.FileStorage})
	must(err)
	from := time.Now().Add(millis(6))
	end := from.Add(millis(7))
	measuring, records, latencies := false, 0, []time.Duration{}
	// Bounded: the oldest result is awaited when inFlight records have none.
	pending := make(chan nats.PubAckFuture, inFlight)
	var oldest nats.PubAckFuture
	for {
		began := time.Now()
		if !measuring && began.After(from) {
			measuring = true
			fmt.Println("measuring")
		}
		if began.After(end) {
			break
		}
		if inFlight == 1 {
			_, err := js.Publish(stream, record)
			must(err)
			if measuring {
				records++
				latencies = append(latencies, time.Since(began))
			}
			continue
		}
		for oldest != nil || len(pending) > 0 {
			if oldest == nil {
				oldest = <-pending
			}
			if !acknowledged(oldest, len(pending)+1 == inFlight) {
				break
			}
			oldest = nil
			if measuring {
				records++
			}
		}
		future, err := js.PublishAsync(stream, record)
		must(err)
		pending <- future
	}
	result(records, time.Since(from), latencies)
	<-js.PublishAsyncComplete()
}

// Returns true if the record is acknowledged; waits for that if it must.
func acknowledged(future nats.PubAckFuture, wait bool) bool {
	if !wait {
		select {
		case <-future.Ok():
			return true
		case err := <-future.Err():
			log.Fatal(err)
		default:
			return false
		}
	}
	select {
	case <-future.Ok():
	case err := <-future.Err():
		log.Fatal(err)
	}
	return true
}

func result(records int, took time.Duration, latencies []time.Duration) {
	at := func(share float64) int64 {
		if len(latencies) == 0 {
			return 0
		}
		return latencies[int(share*float64(len(latencies)))].Microseconds()
	}
	slices.Sort(latencies)
	fmt.Println("result", records, took.Seconds(), at(0.5), at(0.99))
}

// Passes from the start, of at most LIMIT records each; the first is not measured.
func read(connection *nats.Conn) {
	js, err := connection.JetStream()
	must(err)
	info, err := js.StreamInfo(os.Args[3])
	must(err)
	count := min(number(4), int(info.State.Msgs))
	pass(js, count)
	fmt.Println("measuring")
	from, records := time.Now(), 0
	for records == 0 || time.Since(from) < millis(5) {
		pass(js, count)
		records += count
	}
	result(records, time.Since(from), nil)
}

func pass(js nats.JetStreamContext, count int) {
	done, read := make(chan struct{}), 0
	subscription, err := js.Subscribe(os.Args[3], func(*nats.Msg) {
		read++
		if read == count {
			close(done)
		}
	}, nats.OrderedConsumer())
	must(err)
	<-done
	must(subscription.Unsubscribe())
}
