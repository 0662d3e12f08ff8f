import CLinux
import Glibc
import Synchronization

// One thread's loop: waits for descriptors (level-triggered) and for other threads, and runs the jobs of the actor
// whose executor it is. The actor's owner drives it: `poll`, then its own work by `assumeIsolated`, then `runJobs`. So
// code in the actor runs on the loop's thread without a hop, and the compiler checks that nothing else touches it.
//
// It is a TaskExecutor too: without that preference, resuming a continuation takes a detour through the global pool.

/// What happened to a watched descriptor.
package struct Readiness: Equatable, Sendable {
  package let token: UInt64
  package let readable: Bool
  package let writable: Bool
  /// Error or hang-up: the next read or write says what.
  package let broken: Bool

  package init(token: UInt64, readable: Bool, writable: Bool, broken: Bool) {
    self.token = token
    self.readable = readable
    self.writable = writable
    self.broken = broken
  }
}

/// What to be told of. Made anew for every connection that was written to: two flags, not a set.
package struct Interest: Equatable, Sendable {
  package let reading: Bool
  package let writing: Bool
  package init(reading: Bool, writing: Bool) {
    self.reading = reading
    self.writing = writing
  }
  package static let none = Interest(reading: false, writing: false)
  package static let reading = Interest(reading: true, writing: false)
  package static let both = Interest(reading: true, writing: true)

  fileprivate var mask: UInt32 { (reading ? CAIRN_READABLE : 0) | (writing ? CAIRN_WRITABLE : 0) }
}

@safe
package final class EventLoop: SerialExecutor, TaskExecutor, @unchecked Sendable {
  /// The token of the loop's own wake-up; no descriptor may be watched under it.
  private static let wakeToken = UInt64.max
  /// Jobs that enqueue jobs do not starve the descriptors.
  private static let jobRoundsMax = 64

  private let poller: Descriptor
  private let wakeup: Descriptor
  /// Jobs and the fact that somebody wants the loop awake, from any thread.
  private let remote = Locked<[UnownedJob]>([])
  /// Touched by the loop's thread only.
  private var local: [UnownedJob] = []
  /// Somebody called `wake` before the last `poll` returned. Read by the loop's thread only.
  package private(set) var wasWoken = false
  private var ready: UnsafeMutablePointer<cairn_ready>
  /// The thread that runs the loop, 0 before `adoptThread`. Atomic: jobs may come before the loop runs.
  private let owner = Atomic<UInt>(0)

  package init() throws(Errno) {
    poller = Descriptor(owning: try callNegated { cairn_epoll_create() })
    wakeup = Descriptor(owning: try callNegated { cairn_eventfd() })
    unsafe ready = .allocate(capacity: Int(CAIRN_EVENTS_MAX))
    try callNegated { cairn_epoll_add(poller.rawValue, wakeup.rawValue, CAIRN_READABLE, EventLoop.wakeToken) }
  }

  deinit { unsafe ready.deallocate() }

  /// Makes the calling thread the one that runs this loop.
  package func adoptThread() { owner.store(UInt(pthread_self()), ordering: .releasing) }

  private var isOwnThread: Bool { owner.load(ordering: .acquiring) == UInt(pthread_self()) }

  // MARK: Descriptors

  package func watch(_ descriptor: borrowing Descriptor, _ interest: Interest, token: UInt64) throws(Errno) {
    let number = descriptor.rawValue
    try callNegated { cairn_epoll_add(poller.rawValue, number, interest.mask, token) }
  }

  package func change(_ descriptor: borrowing Descriptor, _ interest: Interest, token: UInt64) throws(Errno) {
    let number = descriptor.rawValue
    try callNegated { cairn_epoll_change(poller.rawValue, number, interest.mask, token) }
  }

  /// Closing a descriptor that nobody duplicated does the same.
  package func forget(_ descriptor: borrowing Descriptor) throws(Errno) {
    let number = descriptor.rawValue
    try callNegated { cairn_epoll_remove(poller.rawValue, number) }
  }

  /// Waits until something is ready, somebody wakes the loop, or the time is over, and adds what is ready to `events`.
  /// With jobs waiting it does not wait. A signal ends the wait early.
  package func poll(timeoutMilliseconds: Int, into events: inout [Readiness]) throws(Errno) {
    let timeout = local.isEmpty ? Int32(clamping: timeoutMilliseconds) : 0
    wasWoken = false
    // Whoever shares the processor runs first and brings more to do: a turn with several events costs one wait and one
    // write per connection for all of them. On a processor of its own this returns at once.
    if timeout != 0 { sched_yield() }
    let count = unsafe cairn_epoll_wait(poller.rawValue, ready, timeout)
    if count < 0 {
      if -count == EINTR { return }
      throw Errno(-count)
    }
    for index in 0..<Int(count) {
      let event = unsafe ready[index]
      if event.token == EventLoop.wakeToken {
        clearWakeup()
        wasWoken = true
      } else {
        events.append(
          Readiness(
            token: event.token, readable: event.mask & CAIRN_READABLE != 0,
            writable: event.mask & CAIRN_WRITABLE != 0, broken: event.mask & CAIRN_BROKEN != 0))
      }
    }
  }

  /// Ends the current or next wait. From any thread.
  package func wake() {
    var one: UInt64 = 1
    // A full counter wakes as well: the result does not matter.
    _ = unsafe write(wakeup.rawValue, &one, 8)
  }

  private func clearWakeup() {
    var count: UInt64 = 0
    _ = unsafe read(wakeup.rawValue, &count, 8)
  }

  // MARK: Executor

  package func enqueue(_ job: consuming ExecutorJob) {
    let job = UnownedJob(job)
    if isOwnThread {
      local.append(job)
      return
    }
    let wasEmpty = remote.withLock {
      $0.append(job)
      return $0.count == 1
    }
    if wasEmpty { wake() }
  }

  /// Runs the jobs that tasks of the actor have enqueued.
  package func runJobs() {
    for _ in 0..<EventLoop.jobRoundsMax {
      let arrived = remote.withLock { jobs in
        guard !jobs.isEmpty else { return [UnownedJob]() }
        defer { jobs = [] }
        return jobs
      }
      local.append(contentsOf: arrived)
      guard !local.isEmpty else { return }
      let round = local
      local = []
      for job in round {
        unsafe job.runSynchronously(isolatedTo: asUnownedSerialExecutor(), taskExecutor: asUnownedTaskExecutor())
      }
    }
  }

  package func asUnownedSerialExecutor() -> UnownedSerialExecutor { unsafe UnownedSerialExecutor(ordinary: self) }

  package func asUnownedTaskExecutor() -> UnownedTaskExecutor { unsafe UnownedTaskExecutor(ordinary: self) }

  package func isIsolatingCurrentContext() -> Bool? { isOwnThread }

  package func checkIsolated() {
    precondition(isOwnThread, "only the thread that runs the loop may touch what it isolates")
  }
}
