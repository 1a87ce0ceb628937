#include "connection.h"

#include "gateway.h"

#include <cerrno>
#include <cstring>
#include <sys/socket.h>
#include <unistd.h>

namespace venue {

namespace {

constexpr size_t READ_BYTES = 64u << 10;
constexpr size_t COMPACT_BYTES = 256u << 10;
constexpr size_t TRAILER_BYTES = 7;

} // namespace

Connection::Connection(Gateway *gateway, uint64_t number, int descriptor, std::string address)
    : id(number), fd(descriptor), peer(std::move(address)), m_gateway(gateway) {
}

Connection::~Connection() {
    ::close(fd);
}

bool Connection::send(const std::string &message) {
    if (state == Closing)
        return false;
    if (m_holding && !resending)
        m_held += message;
    else
        append(message);
    m_gateway->sent(this);
    return true;
}

void Connection::append(const std::string &bytes) {
    if (m_sent == m_out.size()) {
        m_out.clear();
        m_sent = 0;
    } else if (m_sent > COMPACT_BYTES && m_sent > m_out.size() / 2) {
        m_out.erase(0, m_sent);
        m_sent = 0;
    }
    m_out += bytes;
}

void Connection::disconnect() {
    m_gateway->disconnected(this);
}

void Connection::hold(bool on) {
    m_holding = on;
    if (!on && !m_held.empty()) {
        append(m_held);
        m_held.clear();
        m_gateway->sent(this);
    }
}

bool Connection::read() {
    if (m_in_begin > 0) {
        memmove(m_in.data(), m_in.data() + m_in_begin, m_in_end - m_in_begin);
        m_in_end -= m_in_begin;
        m_in_begin = 0;
    }
    if (m_in.size() < m_in_end + READ_BYTES)
        m_in.resize(m_in_end + READ_BYTES + MESSAGE_BYTES_MAX);
    ssize_t count = ::recv(fd, m_in.data() + m_in_end, READ_BYTES, 0);
    m_in_end += count > 0 ? static_cast<size_t>(count) : 0;
    return count > 0 || (count < 0 && (errno == EAGAIN || errno == EINTR));
}

bool Connection::flush() {
    while (m_sent < m_out.size()) {
        ssize_t count = ::send(fd, m_out.data() + m_sent, m_out.size() - m_sent, MSG_NOSIGNAL);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return errno == EAGAIN;
        m_sent += static_cast<size_t>(count);
    }
    return true;
}

// Whole messages lie in the queue, so the end of the one that is half sent is the next trailer.
void Connection::cut() {
    m_held.clear();
    m_holding = false;
    resend.active = false;
    if (m_sent == 0 || m_sent >= m_out.size() || m_out[m_sent - 1] == '\001') {
        bool between = m_sent == 0 || m_sent >= m_out.size() || m_out.compare(m_sent, 2, "8=") == 0;
        if (between)
            return m_out.resize(m_sent);
    }
    size_t from = m_sent > TRAILER_BYTES ? m_sent - TRAILER_BYTES : 0;
    for (size_t at = m_out.find("\00110=", from); at != std::string::npos; at = m_out.find("\00110=", at + 1)) {
        size_t end = at + 1 + TRAILER_BYTES;
        if (end > m_sent)
            return m_out.resize(end);
    }
}

} // namespace venue
