#include "connection.h"

#include "gateway.h"

#include <algorithm>
#include <arpa/inet.h>
#include <cerrno>
#include <cstdio>
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

namespace {

constexpr char PROXY_V2[] = "\r\n\r\n\0\r\nQUIT\n"; // 12 bytes and a zero
constexpr size_t PROXY_V2_BYTES = 12, PROXY_V2_HEAD = 16, PROXY_BYTES_MAX = 16 + 216 + 512, PROXY_V1_MAX = 107;

unsigned byte_at(std::string_view bytes, size_t at) {
    return static_cast<unsigned char>(bytes[at]);
}

std::string address_of(int family, const char *address, unsigned port) {
    char text[INET6_ADDRSTRLEN];
    return inet_ntop(family, address, text, sizeof text) == nullptr ? "" : text + (":" + std::to_string(port));
}

// "PROXY TCP4 source destination port port"; 0: more bytes, -1: none.
int read_proxy_v1(std::string_view bytes, std::string *source) {
    size_t end = bytes.substr(0, PROXY_V1_MAX).find("\r\n");
    if (end == std::string_view::npos)
        return bytes.size() < PROXY_V1_MAX ? 0 : -1;
    std::string line(bytes.substr(0, end));
    char family[8], from[46], to[46], rest[2];
    unsigned from_port, to_port;
    if (line == "PROXY UNKNOWN" || line.compare(0, 14, "PROXY UNKNOWN ") == 0)
        return static_cast<int>(end + 2);
    if (sscanf(line.c_str(), "PROXY %7s %45s %45s %5u %5u%1s", family, from, to, &from_port, &to_port, rest) != 5)
        return -1;
    int kind = strcmp(family, "TCP4") == 0 ? AF_INET : strcmp(family, "TCP6") == 0 ? AF_INET6 : 0;
    char address[16];
    if (kind == 0 || inet_pton(kind, from, address) != 1 || from_port > 65535 || to_port > 65535)
        return -1;
    *source = address_of(kind, address, from_port);
    return static_cast<int>(end + 2);
}

int read_proxy_v2(std::string_view bytes, std::string *source) {
    if (bytes.size() < PROXY_V2_HEAD)
        return 0;
    size_t length = byte_at(bytes, 14) << 8 | byte_at(bytes, 15), total = PROXY_V2_HEAD + length;
    unsigned version_command = byte_at(bytes, 12), family = byte_at(bytes, 13);
    if (total > PROXY_BYTES_MAX || (version_command != 0x20 && version_command != 0x21))
        return -1;
    if (bytes.size() < total)
        return 0;
    const char *at = bytes.data() + PROXY_V2_HEAD;
    if (version_command == 0x20) // LOCAL: the terminator's own question
        return static_cast<int>(total);
    if (family == 0x11 && length >= 12)
        *source = address_of(AF_INET, at, byte_at(bytes, 24) << 8 | byte_at(bytes, 25));
    else if (family == 0x21 && length >= 36)
        *source = address_of(AF_INET6, at, byte_at(bytes, 48) << 8 | byte_at(bytes, 49));
    else
        return -1;
    return static_cast<int>(total);
}

} // namespace

int Connection::take_proxy_header() {
    std::string_view bytes = received();
    std::string source;
    bool second = bytes.substr(0, PROXY_V2_BYTES) == std::string_view(PROXY_V2, std::min(bytes.size(), PROXY_V2_BYTES));
    bool first = bytes.substr(0, 6) == std::string_view("PROXY ").substr(0, std::min<size_t>(bytes.size(), 6));
    int taken = second ? read_proxy_v2(bytes, &source) : first ? read_proxy_v1(bytes, &source) : -1;
    if (taken <= 0)
        return taken;
    take(static_cast<size_t>(taken));
    via = peer;
    if (!source.empty())
        peer = source;
    return 1;
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
