// The system calls that Glibc's module map lacks or hides, with their results as values: a negative number is the
// negated errno, so that Swift never reads errno after something else could have changed it.
#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <unistd.h>

static int answer(int result) { return result < 0 ? -errno : result; }

int cairn_epoll_create(void) { return answer(epoll_create1(EPOLL_CLOEXEC)); }

static int epoll_set(int epoll, int operation, int descriptor, uint32_t interest, uint64_t token) {
  struct epoll_event event = {.events = 0, .data.u64 = token};
  if (interest & CAIRN_READABLE) event.events |= EPOLLIN;
  if (interest & CAIRN_WRITABLE) event.events |= EPOLLOUT;
  return answer(epoll_ctl(epoll, operation, descriptor, &event));
}

int cairn_epoll_add(int epoll, int descriptor, uint32_t interest, uint64_t token) {
  return epoll_set(epoll, EPOLL_CTL_ADD, descriptor, interest, token);
}

int cairn_epoll_change(int epoll, int descriptor, uint32_t interest, uint64_t token) {
  return epoll_set(epoll, EPOLL_CTL_MOD, descriptor, interest, token);
}

int cairn_epoll_remove(int epoll, int descriptor) { return epoll_set(epoll, EPOLL_CTL_DEL, descriptor, 0, 0); }

int cairn_epoll_wait(int epoll, struct cairn_ready *ready, int timeout_ms) {
  struct epoll_event events[CAIRN_EVENTS_MAX];
  int count = epoll_wait(epoll, events, CAIRN_EVENTS_MAX, timeout_ms);
  if (count < 0) return -errno;
  for (int i = 0; i < count; i++) {
    uint32_t mask = 0;
    if (events[i].events & EPOLLIN) mask |= CAIRN_READABLE;
    if (events[i].events & EPOLLOUT) mask |= CAIRN_WRITABLE;
    if (events[i].events & (EPOLLERR | EPOLLHUP)) mask |= CAIRN_BROKEN;
    ready[i].token = events[i].data.u64;
    ready[i].mask = mask;
  }
  return count;
}

int cairn_eventfd(void) { return answer(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)); }

int cairn_signalfd_termination(int with_hangup) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  // A blocked signal is never ignored: whoever was told to ignore this one (nohup) goes on doing so.
  struct sigaction hangup;
  if (with_hangup && sigaction(SIGHUP, NULL, &hangup) == 0 && hangup.sa_handler != SIG_IGN) sigaddset(&signals, SIGHUP);
  int failure = pthread_sigmask(SIG_BLOCK, &signals, NULL);
  if (failure) return -failure;
  return answer(signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
}

int cairn_signalfd_next(int descriptor) {
  struct signalfd_siginfo signal;
  ssize_t count = read(descriptor, &signal, sizeof signal);
  if (count < 0) return -errno;
  return (int)signal.ssi_signo;
}

int cairn_timerfd(void) { return answer(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)); }

int cairn_timerfd_set(int timer, uint64_t nanoseconds) {
  // Zero would switch it off.
  if (nanoseconds == 0) nanoseconds = 1;
  struct itimerspec when = {.it_value = {.tv_sec = (time_t)(nanoseconds / 1000000000u),
                                         .tv_nsec = (long)(nanoseconds % 1000000000u)}};
  return answer(timerfd_settime(timer, TFD_TIMER_ABSTIME, &when, NULL));
}

int cairn_ignore_sigpipe(void) {
  struct sigaction ignore = {.sa_handler = SIG_IGN};
  return answer(sigaction(SIGPIPE, &ignore, NULL));
}

int cairn_tcp_socket(int family, int nonblocking) {
  return answer(socket(family, SOCK_STREAM | SOCK_CLOEXEC | (nonblocking ? SOCK_NONBLOCK : 0), 0));
}

int cairn_accept(int listener) { return answer(accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)); }

static int set_flag(int descriptor, int level, int option, int value) {
  return answer(setsockopt(descriptor, level, option, &value, sizeof value));
}

int cairn_set_reuse_address(int descriptor) { return set_flag(descriptor, SOL_SOCKET, SO_REUSEADDR, 1); }

int cairn_set_no_delay(int descriptor) { return set_flag(descriptor, IPPROTO_TCP, TCP_NODELAY, 1); }

int cairn_set_dead_peer_timeout(int descriptor, int milliseconds) {
  int seconds = milliseconds / 3000 > 0 ? milliseconds / 3000 : 1;
  int results[] = {
      set_flag(descriptor, IPPROTO_TCP, TCP_USER_TIMEOUT, milliseconds),
      set_flag(descriptor, SOL_SOCKET, SO_KEEPALIVE, 1),
      set_flag(descriptor, IPPROTO_TCP, TCP_KEEPIDLE, seconds),
      set_flag(descriptor, IPPROTO_TCP, TCP_KEEPINTVL, seconds),
  };
  for (int i = 0; i < 4; i++)
    if (results[i] < 0) return results[i];
  return 0;
}

int cairn_set_blocking_timeout(int descriptor, int milliseconds) {
  struct timeval limit = {.tv_sec = milliseconds / 1000, .tv_usec = milliseconds % 1000 * 1000};
  if (setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) < 0) return -errno;
  return answer(setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit));
}

int cairn_socket_error(int descriptor) {
  int pending = 0;
  socklen_t length = sizeof pending;
  if (getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &pending, &length) < 0) return -errno;
  return -pending;
}

int cairn_poll_one(int descriptor, uint32_t interest, int timeout_ms) {
  struct pollfd entry = {.fd = descriptor, .events = 0};
  if (interest & CAIRN_READABLE) entry.events |= POLLIN;
  if (interest & CAIRN_WRITABLE) entry.events |= POLLOUT;
  return answer(poll(&entry, 1, timeout_ms));
}

int64_t cairn_pread_cached(int descriptor, void *bytes, size_t count, uint64_t offset) {
  struct iovec part = {.iov_base = bytes, .iov_len = count};
  ssize_t result = preadv2(descriptor, &part, 1, (off_t)offset, RWF_NOWAIT);
  return result < 0 ? -errno : result;
}

void cairn_keep_access_time(int descriptor) {
  int flags = fcntl(descriptor, F_GETFL);
  // Refused to whoever does not own the file; the times are noted then, which only costs time.
  if (flags >= 0) fcntl(descriptor, F_SETFL, flags | O_NOATIME);
}

int cairn_random(void *bytes, size_t count) {
  ssize_t result = getrandom(bytes, count, 0);
  if (result < 0) return -errno;
  return (size_t)result == count ? 0 : -EIO;
}

int cairn_raise_open_files(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) < 0) return -errno;
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) < 0) return -errno;
  return limit.rlim_cur > INT_MAX ? INT_MAX : (int)limit.rlim_cur;
}

void cairn_release_freed_memory(void) { malloc_trim(0); }
