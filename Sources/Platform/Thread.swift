import Glibc

// A thread that runs one closure, and workers: threads that do what the loop must not wait for, one request after the
// other, and send their answers back to it.

/// A started thread. Joined when asked; its closure must end by itself.
package final class Thread: @unchecked Sendable {
  private final class Body {
    let run: @Sendable () -> Void
    init(_ run: @escaping @Sendable () -> Void) { self.run = run }
  }

  private let handle: pthread_t

  /// - Throws: when the system gives no thread.
  package init(_ run: @escaping @Sendable () -> Void) throws(Errno) {
    let body = unsafe Unmanaged.passRetained(Body(run))
    var handle = pthread_t()
    let failure = unsafe pthread_create(
      &handle, nil,
      { argument in
        unsafe Unmanaged<Body>.fromOpaque(argument!).takeRetainedValue().run()
        return nil
      }, unsafe body.toOpaque())
    guard failure == 0 else {
      unsafe body.release()
      throw Errno(failure)
    }
    self.handle = handle
  }

  package func join() { pthread_join(handle, nil) }

  /// The calling thread gives way to others when there are fewer cores than threads that could run. Where the system
  /// refuses that, it goes on as it was.
  package static func giveWay() { _ = setpriority(Int32(bitPattern: PRIO_PROCESS.rawValue), 0, 10) }
}

/// Answers on their way from other threads to the loop: a locked array, and a wake-up when it was empty.
package final class Mailbox<Answer: Sendable>: Sendable {
  private let answers = Locked<[Answer]>([])
  private let loop: EventLoop

  package init(waking loop: EventLoop) { self.loop = loop }

  package func post(_ answer: Answer) {
    let wasEmpty = answers.withLock {
      $0.append(answer)
      return $0.count == 1
    }
    if wasEmpty { loop.wake() }
  }

  /// Everything that has come, in order of arrival.
  package func takeAll() -> [Answer] {
    answers.withLock { waiting in
      guard !waiting.isEmpty else { return [] }
      defer { waiting = [] }
      return waiting
    }
  }
}

/// A thread with a bounded queue of requests. Its answers come to the loop in the order of the requests.
package final class Worker<Request: Sendable, Answer: Sendable>: Sendable {
  private let requests: BoundedQueue<Request>
  private let mailbox: Mailbox<Answer>
  private let thread: Thread

  /// - Parameters:
  ///   - requestsMax: How many requests may wait; one more is refused.
  ///   - begin: Runs on the new thread and returns what performs each request there, with whatever state it needs.
  package init(
    requestsMax: Int, waking loop: EventLoop,
    begin: @escaping @Sendable () -> (Request) -> Answer
  ) throws(Errno) {
    let requests = BoundedQueue<Request>(countMax: requestsMax)
    let mailbox = Mailbox<Answer>(waking: loop)
    self.requests = requests
    self.mailbox = mailbox
    thread = try Thread {
      let perform = begin()
      while true {
        let batch = requests.takeAll()
        if batch.isEmpty { return }
        for request in batch { mailbox.post(perform(request)) }
      }
    }
  }

  /// False, and nothing happens, when too many requests wait already.
  package func submit(_ request: Request) -> Bool { requests.offer(request) }

  /// The answers since the last call. Called by the loop's owner.
  package func answers() -> [Answer] { mailbox.takeAll() }

  /// Lets the worker finish what was submitted, and waits for it.
  package func finish() {
    requests.close()
    thread.join()
  }
}
