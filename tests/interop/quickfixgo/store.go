package main

import (
	"sync"
	"time"

	"github.com/quickfixgo/quickfix"
)

// store is quickfix-go's own in memory, kept over its initiators, and locked: the lines change it beside the session.
type store struct {
	lock sync.Mutex
	kept quickfix.MessageStore
}

func newStore() *store {
	kept, err := quickfix.NewMemoryStoreFactory().Create(quickfix.SessionID{})
	if err != nil {
		panic(err)
	}
	return &store{kept: kept}
}

// Create gives each initiator the same one.
func (s *store) Create(quickfix.SessionID) (quickfix.MessageStore, error) { return s, nil }

func locked[T any](s *store, read func() T) T {
	s.lock.Lock()
	defer s.lock.Unlock()
	return read()
}

func (s *store) NextSenderMsgSeqNum() int       { return locked(s, s.kept.NextSenderMsgSeqNum) }
func (s *store) NextTargetMsgSeqNum() int       { return locked(s, s.kept.NextTargetMsgSeqNum) }
func (s *store) IncrNextSenderMsgSeqNum() error { return locked(s, s.kept.IncrNextSenderMsgSeqNum) }
func (s *store) IncrNextTargetMsgSeqNum() error { return locked(s, s.kept.IncrNextTargetMsgSeqNum) }
func (s *store) CreationTime() time.Time        { return locked(s, s.kept.CreationTime) }
func (s *store) Refresh() error                 { return locked(s, s.kept.Refresh) }
func (s *store) Reset() error                   { return locked(s, s.kept.Reset) }

func (s *store) SetNextSenderMsgSeqNum(number int) error {
	return locked(s, func() error { return s.kept.SetNextSenderMsgSeqNum(number) })
}

func (s *store) SetNextTargetMsgSeqNum(number int) error {
	return locked(s, func() error { return s.kept.SetNextTargetMsgSeqNum(number) })
}

func (s *store) SetCreationTime(at time.Time) {
	s.lock.Lock()
	defer s.lock.Unlock()
	s.kept.SetCreationTime(at)
}

func (s *store) SaveMessage(number int, message []byte) error {
	return locked(s, func() error { return s.kept.SaveMessage(number, message) })
}

func (s *store) SaveMessageAndIncrNextSenderMsgSeqNum(number int, message []byte) error {
	return locked(s, func() error { return s.kept.SaveMessageAndIncrNextSenderMsgSeqNum(number, message) })
}

func (s *store) GetMessages(first, last int) ([][]byte, error) {
	s.lock.Lock()
	defer s.lock.Unlock()
	return s.kept.GetMessages(first, last)
}

// IterateMessages does not hold the lock in the callback, which may ask for more.
func (s *store) IterateMessages(first, last int, take func([]byte) error) error {
	messages, err := s.GetMessages(first, last)
	for _, message := range messages {
		if err = take(message); err != nil {
			return err
		}
	}
	return err
}

// Close keeps it for the next initiator.
func (s *store) Close() error { return nil }
