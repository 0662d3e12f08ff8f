// What Swift cannot say on Linux by itself: instructions (CRC32C) and the system calls and constants that Glibc's
// module map lacks. Nothing here decides anything. `_GNU_SOURCE` is defined in the .c files only: defining it in a
// header that Swift imports breaks the Glibc module.
#ifndef CAIRN_CLINUX_H
#define CAIRN_CLINUX_H

#include <stddef.h>
#include <stdint.h>

/// CRC-32C (Castagnoli) of `length` bytes, continuing from `crc` (0 for a fresh checksum).
uint32_t cairn_crc32c(uint32_t crc, const void *bytes, size_t length);

/// The portable implementation, for comparison with the hardware one.
uint32_t cairn_crc32c_portable(uint32_t crc, const void *bytes, size_t length);

/// Brings a line of memory into the processor's caches without waiting for it. Any address is fine.
static inline void cairn_prefetch(const void *address) { __builtin_prefetch(address); }

// System calls. Each returns what the kernel returned, or the negated errno; none retries.

/// Interest in a descriptor, and what became ready: bits of one mask.
#define CAIRN_READABLE 1u
#define CAIRN_WRITABLE 2u
/// Error or hang-up; always reported.
#define CAIRN_BROKEN 4u

struct cairn_ready {
  uint64_t token;
  uint32_t mask;
};

/// The most events one `cairn_epoll_wait` returns.
#define CAIRN_EVENTS_MAX 256

int cairn_epoll_create(void);
int cairn_epoll_add(int epoll, int descriptor, uint32_t interest, uint64_t token);
int cairn_epoll_change(int epoll, int descriptor, uint32_t interest, uint64_t token);
int cairn_epoll_remove(int epoll, int descriptor);
/// Waits up to `timeout_ms` (-1: for ever) and fills `ready`, which has room for CAIRN_EVENTS_MAX.
int cairn_epoll_wait(int epoll, struct cairn_ready *ready, int timeout_ms);

/// A nonblocking close-on-exec counter.
int cairn_eventfd(void);
/// Blocks SIGTERM and SIGINT in this thread (and those it starts) and returns a nonblocking descriptor that reads them.
/// With `with_hangup` SIGHUP too, unless it is ignored.
int cairn_signalfd_termination(int with_hangup);
/// The number of the next pending signal of such a descriptor.
int cairn_signalfd_next(int descriptor);
/// A nonblocking close-on-exec timer on the monotonic clock, not set.
int cairn_timerfd(void);
/// Makes the timer readable once `nanoseconds` of the monotonic clock have come; until then it is not.
int cairn_timerfd_set(int timer, uint64_t nanoseconds);
/// Ignores SIGPIPE: a write to a closed socket is an error value.
int cairn_ignore_sigpipe(void);

/// A close-on-exec TCP socket of `family`; `nonblocking` is 0 or 1.
int cairn_tcp_socket(int family, int nonblocking);
/// The next connection of a listener, nonblocking and close-on-exec.
int cairn_accept(int listener);
int cairn_set_reuse_address(int descriptor);
int cairn_set_no_delay(int descriptor);
/// Gives a connection up when sent bytes stay unacknowledged, or the peer silent, for about `milliseconds`.
int cairn_set_dead_peer_timeout(int descriptor, int milliseconds);
/// Limits how long a blocking receive and send may wait.
int cairn_set_blocking_timeout(int descriptor, int milliseconds);
/// The pending error of a socket (0: none), as a negated errno.
int cairn_socket_error(int descriptor);
/// Waits until the one descriptor is ready (CAIRN_READABLE or CAIRN_WRITABLE); 0 when the time is over.
int cairn_poll_one(int descriptor, uint32_t interest, int timeout_ms);

/// Reads what is in the page cache; -EAGAIN when the device would have to be asked, -EOPNOTSUPP where unsupported.
int64_t cairn_pread_cached(int descriptor, void *bytes, size_t count, uint64_t offset);
/// Reads of this open file leave its time of access alone, where the system allows that to this user.
void cairn_keep_access_time(int descriptor);
int cairn_random(void *bytes, size_t count);
/// Raises the soft limit of open files to the hard one and returns it (at most INT32_MAX).
int cairn_raise_open_files(void);
/// Gives memory that was freed back to the system.
void cairn_release_freed_memory(void);

#endif
