#include "ahead.h"

#include "store.h"

#include <algorithm>

namespace venue {

Ahead::Ahead() : m_thread([this] { run(); }) {
}

Ahead::~Ahead() {
    {
        std::lock_guard<std::mutex> guard(m_mutex);
        m_ending = true;
    }
    m_asked.notify_one();
    m_thread.join();
}

bool Ahead::ask(Store *store) {
    std::unique_lock<std::mutex> guard(m_mutex, std::try_to_lock);
    if (!guard.owns_lock())
        return false;
    m_stores.push_back(store);
    guard.unlock();
    m_asked.notify_one();
    return true;
}

void Ahead::forget(Store *store) {
    std::lock_guard<std::mutex> guard(m_mutex);
    m_stores.erase(std::remove(m_stores.begin(), m_stores.end(), store), m_stores.end());
}

// A portion at a time, so that nobody who needs the lock waits for long.
void Ahead::run() {
    std::unique_lock<std::mutex> guard(m_mutex);
    for (;;) {
        m_asked.wait(guard, [this] { return m_ending || !m_stores.empty(); });
        if (m_ending)
            return;
        if (!m_stores.front()->prepare())
            m_stores.erase(m_stores.begin());
        guard.unlock();
        guard.lock();
    }
}

} // namespace venue
