// Preloaded into a node, writes down what it does to files and when it answers a client, so that a test can put the
// disk back to what a power cut would have left. What a call destroys (an unlinked or replaced file, bytes that are
// cut off) is kept beside the trace. All goes through raw system calls: nothing here calls what it stands in front of.
//
// `CAIRN_TEST_TRACE` names a directory on the file system of the nodes' data. Each process appends to `PID.trace` there,
// one line per fact, in one write each, and keeps what is destroyed as `PID-ID`. A line has ten fields between tabs:
//
//   kind sequence id nanoseconds device inode first second name other
//
// `sequence` orders the facts of a process over all of its threads; lines may stand out of that order. `nanoseconds` is
// CLOCK_MONOTONIC, read after the sequence number is taken.
//
//   O  a file or directory `name` was opened; first = 1: this created it
//   W  second bytes were written at first
//   S  what was there at `id`, a sequence number, is durable: a sync began then, and has ended now
//   T  the file was cut from second bytes to first; the rest is kept under `id`
//   M  the directory `name` was made
//   R  `name` is about to become `other`; first = 1: which exists, and is kept under `id`
//   U  `name` is about to be unlinked, and is kept under `id`
//   E  the R or U with this `id` has ended; first = 1: it failed
//   A  an answer with status first is about to be sent
//
// `CAIRN_TEST_SYNC_DELAY` makes the device slow: every sync takes at least so many milliseconds, so that what does not
// wait for it is seen not to.
//
// A file `PID.fault` in the directory makes the device of that process fail as long as it is there: it holds "write" or
// "sync", and the number of the error that every write to a file, or every sync, is answered with. A write that fails has
// written nothing. Standard output and standard error are of another device.
//
// A file `PID.clock` there puts the wall clock of that process forward by so many seconds, for as long as it is there.
//
// Positioned writes, growth by truncation, links and memory-mapped files are not known here: nodes use none.
#define _GNU_SOURCE
#include "DiskTrace.h"
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static int trace = -1;
static char directory[3000];
static struct timespec sync_delay;
static _Atomic unsigned long long last_sequence;

static unsigned long long next_sequence(void) { return atomic_fetch_add(&last_sequence, 1) + 1; }

static int raw_open(const char *path, int flags, mode_t mode) {
  return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

__attribute__((constructor)) static void begin(void) {
  const char *path = getenv("CAIRN_TEST_TRACE");
  if (!path || strlen(path) >= sizeof directory) return;
  char name[4096];
  snprintf(name, sizeof name, "%s/%d.trace", path, (int)getpid());
  strcpy(directory, path);
  const char *delay = getenv("CAIRN_TEST_SYNC_DELAY");
  if (delay) sync_delay.tv_nsec = atol(delay) * 1000000;
  trace = raw_open(name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (trace < 0) abort();
}

struct fact {
  char kind;
  unsigned long long sequence, id;
  const struct stat *file;
  unsigned long long first, second;
  const char *name, *other;
};

static void note(struct fact fact) {
  if (trace < 0) return;
  int kept_errno = errno;
  char line[9000];
  struct timespec now;
  syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
  int count = snprintf(line, sizeof line, "%c\t%llu\t%llu\t%llu\t%llu\t%llu\t%llu\t%llu\t%s\t%s\n", fact.kind,
                       fact.sequence, fact.id, now.tv_sec * 1000000000ull + now.tv_nsec,
                       fact.file ? (unsigned long long)fact.file->st_dev : 0,
                       fact.file ? (unsigned long long)fact.file->st_ino : 0, fact.first, fact.second,
                       fact.name ? fact.name : "", fact.other ? fact.other : "");
  // A fact that is lost would make the test lie.
  if (count >= (int)sizeof line || syscall(SYS_write, trace, line, count) != count) abort();
  errno = kept_errno;
}

static void kept_path(char *path, size_t room, unsigned long long id) {
  snprintf(path, room, "%s/%d-%llu", directory, (int)getpid(), id);
}

static int regular(int descriptor, struct stat *file) {
  int kept_errno = errno;
  int is = fstat(descriptor, file) == 0 && S_ISREG(file->st_mode);
  errno = kept_errno;
  return is;
}

// Faults

/// The error that calls of this kind fail with now; 0 for none.
static int fault(const char *kind) {
  if (trace < 0) return 0;
  int kept_errno = errno;
  char path[4096], text[32] = "", found[8];
  int number = 0;
  snprintf(path, sizeof path, "%s/%d.fault", directory, (int)getpid());
  int descriptor = raw_open(path, O_RDONLY | O_CLOEXEC, 0);
  if (descriptor >= 0) {
    if (syscall(SYS_read, descriptor, text, sizeof text - 1) < 0) abort();
    syscall(SYS_close, descriptor);
    if (sscanf(text, "%7s %d", found, &number) != 2) abort();
    if (strcmp(found, kind) != 0) number = 0;
  }
  errno = kept_errno;
  return number;
}

static int fails(int error) {
  if (error) errno = error;
  return error != 0;
}

// Clocks

/// Seconds that the wall clock is ahead now.
static long ahead(void) {
  if (trace < 0) return 0;
  int kept_errno = errno;
  char path[4096], text[32] = "";
  snprintf(path, sizeof path, "%s/%d.clock", directory, (int)getpid());
  int descriptor = raw_open(path, O_RDONLY | O_CLOEXEC, 0);
  if (descriptor >= 0) {
    if (syscall(SYS_read, descriptor, text, sizeof text - 1) < 0) abort();
    syscall(SYS_close, descriptor);
  }
  errno = kept_errno;
  return atol(text);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
  int result = (int)syscall(SYS_clock_gettime, clock, now);
  if (result == 0 && clock == CLOCK_REALTIME) now->tv_sec += ahead();
  return result;
}

// Files and names

static int opened(const char *path, int flags, mode_t mode) {
  struct stat file;
  int existed = stat(path, &file) == 0;
  int descriptor = raw_open(path, flags, mode);
  if (descriptor >= 0 && fstat(descriptor, &file) == 0 && (S_ISREG(file.st_mode) || S_ISDIR(file.st_mode)))
    note((struct fact){.kind = 'O', .sequence = next_sequence(), .file = &file, .first = !existed, .name = path});
  return descriptor;
}

#define OPENS(call)                                                          \
  int call(const char *path, int flags, ...) {                               \
    va_list rest;                                                            \
    va_start(rest, flags);                                                   \
    mode_t mode = (flags & (O_CREAT | O_TMPFILE)) ? va_arg(rest, mode_t) : 0; \
    va_end(rest);                                                            \
    return opened(path, flags, mode);                                        \
  }
OPENS(open)
OPENS(open64)

int mkdir(const char *path, mode_t mode) {
  int result = (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
  if (result == 0) note((struct fact){.kind = 'M', .sequence = next_sequence(), .name = path});
  return result;
}

static int keep(const char *path, unsigned long long id) {
  char kept[4096];
  kept_path(kept, sizeof kept, id);
  return trace >= 0 && syscall(SYS_linkat, AT_FDCWD, path, AT_FDCWD, kept, 0) == 0;
}

static int ended(unsigned long long id, int result) {
  note((struct fact){.kind = 'E', .sequence = next_sequence(), .id = id, .first = result != 0});
  return result;
}

int rename(const char *from, const char *to) {
  struct stat file;
  if (stat(from, &file) != 0) return -1;
  unsigned long long id = next_sequence();
  int replaces = keep(to, id);
  note((struct fact){.kind = 'R', .sequence = id, .id = id, .file = &file, .first = replaces, .name = from, .other = to});
  return ended(id, (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0));
}

int unlink(const char *path) {
  struct stat file;
  if (lstat(path, &file) != 0) return -1;
  unsigned long long id = next_sequence();
  keep(path, id);
  note((struct fact){.kind = 'U', .sequence = id, .id = id, .file = &file, .name = path});
  return ended(id, (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0));
}

// Contents

static void keep_tail(int descriptor, unsigned long long id, off_t from) {
  char kept[4096], part[4096];
  kept_path(kept, sizeof kept, id);
  int copy = raw_open(kept, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  if (copy < 0) abort();
  long count;
  while ((count = syscall(SYS_pread64, descriptor, part, sizeof part, from)) > 0) {
    if (syscall(SYS_write, copy, part, count) != count) abort();
    from += count;
  }
  syscall(SYS_close, copy);
}

int ftruncate(int descriptor, off_t size) {
  struct stat file;
  int known = trace >= 0 && regular(descriptor, &file);
  if (known && size > file.st_size) abort();
  unsigned long long id = next_sequence();
  if (known) keep_tail(descriptor, id, size);
  int result = (int)syscall(SYS_ftruncate, descriptor, size);
  if (known && result == 0)
    note((struct fact){
        .kind = 'T', .sequence = next_sequence(), .id = id, .file = &file, .first = size, .second = file.st_size});
  return result;
}

static int synced(int descriptor, long call) {
  struct stat file;
  int known = fstat(descriptor, &file) == 0;
  unsigned long long id = next_sequence();
  if (sync_delay.tv_nsec > 0) nanosleep(&sync_delay, NULL);
  if (fails(fault("sync"))) return -1;
  int result = (int)syscall(call, descriptor);
  if (known && result == 0) note((struct fact){.kind = 'S', .sequence = next_sequence(), .id = id, .file = &file});
  return result;
}

int fdatasync(int descriptor) { return synced(descriptor, SYS_fdatasync); }
int fsync(int descriptor) { return synced(descriptor, SYS_fsync); }

static void before_send(int descriptor, const void *bytes, size_t count) {
  static const char begins[] = "HTTP/1.1 2";
  const size_t length = sizeof begins - 1;
  const char *found = bytes, *end = found + count;
  struct stat file;
  while ((found = memmem(found, end - found, begins, length)) && found + length + 2 <= end) {
    if (fstat(descriptor, &file) != 0 || !S_ISSOCK(file.st_mode)) return;
    unsigned status = 200 + (found[length] - '0') * 10 + (found[length + 1] - '0');
    note((struct fact){.kind = 'A', .sequence = next_sequence(), .first = status});
    found += length;
  }
}

static ssize_t written(int descriptor, ssize_t result) {
  struct stat file;
  if (result > 0 && regular(descriptor, &file)) {
    off_t end = lseek(descriptor, 0, SEEK_CUR);
    note((struct fact){
        .kind = 'W', .sequence = next_sequence(), .file = &file, .first = end - result, .second = result});
  }
  return result;
}

static int refuses_write(int descriptor) {
  struct stat file;
  return descriptor > STDERR_FILENO && regular(descriptor, &file) && fails(fault("write"));
}

ssize_t write(int descriptor, const void *bytes, size_t count) {
  if (refuses_write(descriptor)) return -1;
  before_send(descriptor, bytes, count);
  return written(descriptor, syscall(SYS_write, descriptor, bytes, count));
}

ssize_t writev(int descriptor, const struct iovec *parts, int count) {
  if (refuses_write(descriptor)) return -1;
  for (int i = 0; i < count; i++) before_send(descriptor, parts[i].iov_base, parts[i].iov_len);
  return written(descriptor, syscall(SYS_writev, descriptor, parts, count));
}

ssize_t send(int descriptor, const void *bytes, size_t count, int flags) {
  before_send(descriptor, bytes, count);
  return syscall(SYS_sendto, descriptor, bytes, count, flags, NULL, 0);
}

ssize_t sendmsg(int descriptor, const struct msghdr *message, int flags) {
  for (size_t i = 0; i < message->msg_iovlen; i++)
    before_send(descriptor, message->msg_iov[i].iov_base, message->msg_iov[i].iov_len);
  return syscall(SYS_sendmsg, descriptor, message, flags);
}
