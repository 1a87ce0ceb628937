// A broker on quickfix-go, driven line by line over its standard input, as the one on QuickFIX/J is.
//
// quickfix-go keeps the sequence numbers, the heartbeats and the resends; each logon is a new initiator over the same
// message store. It connects through a relay of this process, which alone can drop what it writes, put bytes beside
// it, or cut the line: quickfix-go gives its application no hold of the connection.
// Arguments: host, port, CompID, the venue's CompID, user name, password, dictionary.
//
// Lines in: "logon NAME=VALUE..." connects, with quickfix-go's own settings, and TAG=VALUE goes into the Logon;
// "send 35=D..." a message through the session; "store N 35=D..." as if sent with number N and lost on the way;
// "raw ..." bytes onto the connection; "numbers", "sender N", "target N" the next number out, in; "mute" until the next
// logon nothing that quickfix-go sends reaches the wire; "logout"; "cut" drops the line, and quickfix-go connects again
// by itself as ReconnectInterval says; "close" drops it for good. Fields end with SOH.
//
// Lines out: "< raw", "> raw" what quickfix-go read and wrote; "application raw", "session raw" what it took in its
// turn; "up", "down", "refused text"; "# text" its events, "! text" what went wrong here; "= ..." an answer.
package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/quickfixgo/quickfix"
	"github.com/quickfixgo/quickfix/config"
	"github.com/quickfixgo/quickfix/datadictionary"
)

const (
	soh         = "\x01"
	lineMax     = 1 << 20
	settleMax   = 500 * time.Millisecond
	downMax     = 2 * time.Second
	lookedAfter = time.Millisecond
)

var output sync.Mutex

func say(kind, text string) {
	line := strings.NewReplacer("\n", " ", "\r", " ").Replace(strings.TrimSpace(kind + " " + text))
	output.Lock()
	defer output.Unlock()
	fmt.Println(line)
}

type broker struct {
	host, port, username, password, path string

	id         quickfix.SessionID
	dictionary *datadictionary.DataDictionary
	store      *store
	relay      *relay
	initiator  *quickfix.Initiator
	fields     [][2]string
	last       string
	given      int
	up         sync.Mutex
	connected  bool
}

// ---- what quickfix-go tells ----

func (b *broker) OnCreate(quickfix.SessionID) {}
func (b *broker) OnLogon(quickfix.SessionID)  { say("up", "") }
func (b *broker) OnLogout(quickfix.SessionID) {}

func (b *broker) ToAdmin(message *quickfix.Message, _ quickfix.SessionID) {
	if !message.IsMsgTypeOf("A") {
		return
	}
	message.Body.SetString(553, b.username)
	message.Body.SetString(554, b.password)
	for _, field := range b.fields {
		tag, _ := strconv.Atoi(field[0])
		message.Body.SetString(quickfix.Tag(tag), field[1])
	}
}

func (b *broker) ToApp(*quickfix.Message, quickfix.SessionID) error { return nil }

func (b *broker) FromAdmin(message *quickfix.Message, _ quickfix.SessionID) quickfix.MessageRejectError {
	say("session", message.String())
	return nil
}

func (b *broker) FromApp(message *quickfix.Message, _ quickfix.SessionID) quickfix.MessageRejectError {
	say("application", message.String())
	return nil
}

func (b *broker) Create() (quickfix.Log, error)                             { return b, nil }
func (b *broker) CreateSessionLog(quickfix.SessionID) (quickfix.Log, error) { return b, nil }

func (b *broker) OnIncoming(data []byte) {
	b.last = string(data)
	say("<", b.last)
}

func (b *broker) OnOutgoing(data []byte) { say(">", string(data)) }

func (b *broker) OnEventf(format string, values ...interface{}) {
	b.OnEvent(fmt.Sprintf(format, values...))
}

// OnEvent tells of the line's end, which the application is not told in every state. A Logout that refuses the logon
// reaches the log alone: quickfix-go does not give it to the application.
func (b *broker) OnEvent(text string) {
	say("#", text)
	switch {
	case strings.HasPrefix(text, "Sending logon request"):
		b.setConnected(true)
	case text == "Disconnected":
		b.setConnected(false)
		say("down", "")
	case strings.HasPrefix(text, "Invalid Session State") && strings.Contains(b.last, soh+"35=5"+soh):
		say("session", b.last)
	}
}

func (b *broker) setConnected(on bool) {
	b.up.Lock()
	defer b.up.Unlock()
	b.connected = on
}

func (b *broker) isConnected() bool {
	b.up.Lock()
	defer b.up.Unlock()
	return b.connected
}

// ---- the lines ----

func (b *broker) settings(words string) (*quickfix.Settings, error) {
	session := quickfix.NewSessionSettings()
	session.Set(config.BeginString, b.id.BeginString)
	session.Set(config.SenderCompID, b.id.SenderCompID)
	session.Set(config.TargetCompID, b.id.TargetCompID)
	session.Set(config.SocketConnectHost, "127.0.0.1")
	session.Set(config.SocketConnectPort, strconv.Itoa(b.relay.port()))
	session.Set(config.HeartBtInt, "30")
	session.Set(config.ReconnectInterval, "86400")
	session.Set(config.DataDictionary, b.path)
	b.fields = nil
	for _, word := range strings.Split(words, soh) {
		name, value, found := strings.Cut(word, "=")
		switch {
		case !found:
		case name[0] >= '0' && name[0] <= '9':
			b.fields = append(b.fields, [2]string{name, value})
		default:
			session.Set(name, value)
		}
	}
	settings := quickfix.NewSettings()
	_, err := settings.AddSession(session)
	return settings, err
}

func (b *broker) logon(words string) error {
	b.close()
	relay, err := newRelay(b.host + ":" + b.port)
	if err != nil {
		return err
	}
	b.relay, b.given = relay, 0
	settings, err := b.settings(words)
	if err != nil {
		return err
	}
	if b.initiator, err = quickfix.NewInitiator(b, b.store, settings, b); err != nil {
		return err
	}
	return b.initiator.Start()
}

// close drops the line and ends the initiator, which would say Logout first where it still saw one.
func (b *broker) close() {
	if b.relay != nil {
		b.relay.end()
	}
	if b.initiator != nil {
		until(downMax, func() bool { return !b.isConnected() })
		b.initiator.Stop()
		b.initiator = nil
	}
}

// frame makes a whole message of fields that begin with MsgType(35).
func frame(body, header string) []byte {
	end := strings.Index(body, soh) + 1
	inner := body[:end] + header + body[end:]
	data := "8=FIX.4.4" + soh + "9=" + strconv.Itoa(len(inner)) + soh + inner
	sum := 0
	for _, octet := range []byte(data) {
		sum += int(octet)
	}
	return []byte(fmt.Sprintf("%s10=%03d%s", data, sum%256, soh))
}

// send reads groups by the dictionary; what is missing or unknown goes out as it is.
func (b *broker) send(body string) error {
	message := quickfix.NewMessage()
	data := bytes.NewBuffer(frame(body, ""))
	if err := quickfix.ParseMessageWithDataDictionary(message, data, nil, b.dictionary); err != nil {
		return err
	}
	err := quickfix.SendToTarget(message, b.id)
	b.given = b.store.NextSenderMsgSeqNum() - 1
	return err
}

func (b *broker) keep(words string) error {
	word, body, _ := strings.Cut(words, " ")
	number, err := strconv.Atoi(word)
	if err != nil {
		return err
	}
	now := time.Now().UTC().Format("20060102-15:04:05.000")
	header := []string{"49=" + b.id.SenderCompID, "56=" + b.id.TargetCompID, "34=" + word, "52=" + now, ""}
	return b.store.SaveMessage(number, frame(body, strings.Join(header, soh)))
}

// sent waits until the relay has passed on what was sent: quickfix-go queues it for another goroutine.
func (b *broker) sent() {
	until(settleMax, func() bool { return b.relay.passed() >= b.given })
}

func until(most time.Duration, done func() bool) {
	for end := time.Now().Add(most); !done() && time.Now().Before(end); {
		time.Sleep(lookedAfter)
	}
}

func (b *broker) serve(line string) error {
	word, rest, _ := strings.Cut(line, " ")
	number, _ := strconv.Atoi(rest)
	switch word {
	case "logon":
		return b.logon(rest)
	case "send":
		return b.send(rest)
	case "store":
		return b.keep(rest)
	case "raw":
		b.sent()
		say(">", rest)
		return b.relay.write([]byte(rest))
	case "numbers":
		say("=", fmt.Sprintf("%d %d", b.store.NextSenderMsgSeqNum(), b.store.NextTargetMsgSeqNum()))
	case "sender":
		return b.store.SetNextSenderMsgSeqNum(number)
	case "target":
		return b.store.SetNextTargetMsgSeqNum(number)
	case "mute":
		b.sent()
		b.relay.silence()
	case "logout":
		b.initiator.Stop()
		b.initiator = nil
	case "cut":
		b.relay.cut()
	case "close":
		b.close()
		say("=", "closed")
	default:
		return fmt.Errorf("no such line")
	}
	return nil
}

func main() {
	words := os.Args[1:]
	if len(words) != 7 {
		fmt.Fprintln(os.Stderr, "usage: quickfixgo HOST PORT COMPID VENUE USERNAME PASSWORD DICTIONARY")
		os.Exit(2)
	}
	dictionary, err := datadictionary.Parse(words[6])
	if err != nil {
		fmt.Fprintln(os.Stderr, words[6], err)
		os.Exit(1)
	}
	b := &broker{
		host: words[0], port: words[1], username: words[4], password: words[5], path: words[6],
		id:         quickfix.SessionID{BeginString: quickfix.BeginStringFIX44, SenderCompID: words[2], TargetCompID: words[3]},
		dictionary: dictionary,
		store:      newStore(),
	}
	input := bufio.NewScanner(os.Stdin)
	input.Buffer(make([]byte, 0, 4096), lineMax)
	for input.Scan() {
		if err := b.serve(input.Text()); err != nil {
			word, _, _ := strings.Cut(input.Text(), " ")
			say("!", word+": "+err.Error())
		}
	}
	b.close()
}
