package main

import (
	"bufio"
	"bytes"
	"errors"
	"net"
	"strconv"
	"sync"
)

// relay passes bytes between quickfix-go and the venue, one connection at a time, and message by message outwards, so
// that what is put beside them stands between two messages.
type relay struct {
	listener net.Listener
	target   string

	lock   sync.Mutex
	inner  net.Conn
	venue  net.Conn
	silent bool
	number int
}

func newRelay(target string) (*relay, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &relay{listener: listener, target: target}
	go r.accept()
	return r, nil
}

func (r *relay) port() int { return r.listener.Addr().(*net.TCPAddr).Port }

func (r *relay) accept() {
	for {
		inner, err := r.listener.Accept()
		if err != nil {
			return
		}
		venue, err := net.Dial("tcp", r.target)
		if err != nil {
			say("refused", err.Error())
			inner.Close()
			continue
		}
		r.lock.Lock()
		r.inner, r.venue, r.silent = inner, venue, false
		r.lock.Unlock()
		go r.outwards(inner, venue)
		go r.inwards(inner, venue)
	}
}

func (r *relay) inwards(inner, venue net.Conn) {
	defer inner.Close()
	defer venue.Close()
	data := make([]byte, 1<<16)
	for {
		count, err := venue.Read(data)
		if _, failed := inner.Write(data[:count]); err != nil || failed != nil {
			return
		}
	}
}

func (r *relay) outwards(inner, venue net.Conn) {
	defer inner.Close()
	defer venue.Close()
	reader := bufio.NewReader(inner)
	for {
		message, err := next(reader)
		if err != nil {
			return
		}
		if err := r.pass(venue, message); err != nil {
			return
		}
	}
}

// next reads up to the end of CheckSum(10).
func next(reader *bufio.Reader) ([]byte, error) {
	var message []byte
	for {
		field, err := reader.ReadBytes('\x01')
		message = append(message, field...)
		if err != nil || bytes.HasPrefix(field, []byte("10=")) {
			return message, err
		}
	}
}

func (r *relay) pass(venue net.Conn, message []byte) error {
	r.lock.Lock()
	defer r.lock.Unlock()
	if _, found, _ := bytes.Cut(message, []byte("\x0134=")); found != nil {
		digits, _, _ := bytes.Cut(found, []byte("\x01"))
		number, _ := strconv.Atoi(string(digits))
		if number > r.number || bytes.Contains(message, []byte("\x0135=A\x01")) {
			r.number = number
		}
	}
	if r.silent {
		return nil
	}
	_, err := venue.Write(message)
	return err
}

// passed is the highest MsgSeqNum(34) that went by since the logon.
func (r *relay) passed() int {
	r.lock.Lock()
	defer r.lock.Unlock()
	return r.number
}

func (r *relay) write(data []byte) error {
	r.lock.Lock()
	defer r.lock.Unlock()
	if r.venue == nil {
		return errors.New("there is no connection")
	}
	_, err := r.venue.Write(data)
	return err
}

func (r *relay) silence() {
	r.lock.Lock()
	defer r.lock.Unlock()
	r.silent = true
}

func (r *relay) cut() {
	r.lock.Lock()
	defer r.lock.Unlock()
	for _, side := range []net.Conn{r.venue, r.inner} {
		if side != nil {
			side.Close()
		}
	}
}

func (r *relay) end() {
	r.listener.Close()
	r.cut()
}
