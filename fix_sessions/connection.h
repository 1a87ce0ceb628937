// A broker's TCP connection: bytes in, bytes out, never waiting for either.
//
// QuickFIX sends through it as its Responder. What the broker does not read is kept up to a bound; at the bound the
// gateway shows the session out. Must never block, and never lose half a message.
#ifndef FIX_VENUE_CONNECTION_H
#define FIX_VENUE_CONNECTION_H

#include "Responder.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace venue {

struct Party;
class Gateway;

struct Resend { // an answer to a ResendRequest(2), given in portions so that nobody else waits for it
    bool active = false;
    uint64_t next = 0, last = 0;
    std::string request; // the request as it came
};

class Connection : public FIX::Responder {
  public:
    enum State {
        Waiting,        // for the first message, which must be a Logon
        Authenticating, // Python looks at the password
        Open,           // bound to a session
        Closing,        // only what is queued still goes out
    };

    Connection(Gateway *gateway, uint64_t id, int fd, std::string peer);
    ~Connection() override;
    Connection(const Connection &) = delete;
    Connection &operator=(const Connection &) = delete;

    bool send(const std::string &message) override;
    void disconnect() override; // by QuickFIX: nothing more is taken, what is queued goes out
    void append(const std::string &bytes);

    bool read();  // false: the peer is gone
    // Takes a PROXY protocol header, v1 or v2, off the stream: 1 done, 0 more bytes are needed, -1 it is none.
    int take_proxy_header();
    std::string_view received() const { // what was read and not taken yet
        return std::string_view(m_in.data() + m_in_begin, m_in_end - m_in_begin);
    }
    void take(size_t bytes) {
        m_in_begin += bytes;
    }
    void take_all() {
        m_in_begin = m_in_end;
    }
    bool flush(); // false: the peer is gone
    size_t unsent() const {
        return m_out.size() - m_sent + m_held.size();
    }
    void hold(bool on); // while a resend is under way, new messages wait behind it
    void cut();         // forgets what is queued behind the message that is half sent

    const uint64_t id;
    const int fd;
    std::string peer; // behind a terminator: whom its header names
    std::string via;  // the terminator's own address; empty without one
    bool proxied = false; // a header must come before the first message
    std::string session_status; // SessionStatus(1409) of the answer to a Logon; empty: none
    State state = Waiting;
    bool was_in = false; // a session was logged on over it
    Party *party = nullptr;
    uint64_t deadline_ms = 0; // Waiting, Authenticating, Closing: closed at this time
    bool dirty = false;       // something is to be flushed
    bool writable_wanted = false;
    bool resending = false; // what is sent now belongs to the resend
    uint64_t gap = 0;       // messages in a row above the expected number
    Resend resend;
    std::string logon; // the first message, while the password is looked at

  private:
    Gateway *m_gateway;
    std::vector<char> m_in;
    size_t m_in_begin = 0, m_in_end = 0;
    std::string m_out, m_held;
    size_t m_sent = 0;
    bool m_holding = false;
};

} // namespace venue

#endif
