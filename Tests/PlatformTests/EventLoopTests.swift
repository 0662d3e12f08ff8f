import Platform
import Primitives
import Testing

/// Counts on a loop that somebody else runs.
private actor Counter {
  nonisolated let loop: EventLoop
  nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe loop.asUnownedSerialExecutor() }
  var count = 0
  init(loop: EventLoop) { self.loop = loop }
  func add() -> Int {
    count += 1
    return count
  }
}

struct EventLoopTests {
  @Test("a wait without events ends with its time")
  func timeout() throws {
    let loop = try EventLoop()
    var events: [Readiness] = []
    let clock = SystemClock()
    let before = clock.now().instant
    try loop.poll(timeoutMilliseconds: 20, into: &events)
    #expect(events.isEmpty)
    #expect(clock.now().instant.milliseconds(since: before) >= 19)
  }

  @Test("a wake-up from before the wait is not lost, and counts once")
  func wakeup() throws {
    let loop = try EventLoop()
    var events: [Readiness] = []
    loop.wake()
    loop.wake()
    // Without the wake-up this would wait for ever.
    try loop.poll(timeoutMilliseconds: -1, into: &events)
    try loop.poll(timeoutMilliseconds: 0, into: &events)
    #expect(events.isEmpty)
  }

  @Test("a descriptor is reported under its token, for what it is watched for")
  func readiness() throws {
    let loop = try EventLoop()
    let listener = try Listener(on: SocketAddress(host: [127, 0, 0, 1], port: 0))
    try listener.start()
    try loop.watch(listener.descriptor, .reading, token: 7)
    let client = try BlockingSocket(connectingTo: listener.address, timeoutMilliseconds: 5000)
    var events: [Readiness] = []
    try loop.poll(timeoutMilliseconds: -1, into: &events)
    #expect(events == [Readiness(token: 7, readable: true, writable: false, broken: false)])
    try loop.change(listener.descriptor, .none, token: 7)
    events = []
    try loop.poll(timeoutMilliseconds: 0, into: &events)
    #expect(events.isEmpty)
    try loop.forget(listener.descriptor)
    _ = client.address
  }

  @Test("an actor on the loop runs on the loop's thread, whoever calls it")
  func executor() async throws {
    let loop = try EventLoop()
    let stop = Locked(false)
    let thread = try Thread {
      loop.adoptThread()
      var events: [Readiness] = []
      while !stop.withLock({ $0 }) {
        try? loop.poll(timeoutMilliseconds: -1, into: &events)
        loop.runJobs()
      }
    }
    let counter = Counter(loop: loop)
    let total = await withTaskGroup(of: Int.self) { group in
      for _ in 0..<100 { group.addTask { await counter.add() } }
      return await group.reduce(0, +)
    }
    #expect(total == 5050)
    stop.withLock { $0 = true }
    loop.wake()
    thread.join()
  }

  @Test("a worker answers in the order of its requests and wakes the loop")
  func worker() throws {
    let loop = try EventLoop()
    let worker = try Worker<Int, Int>(requestsMax: 1000, waking: loop) {
      var sum = 0
      return {
        sum += $0
        return sum
      }
    }
    for value in 1...100 { #expect(worker.submit(value)) }
    var answers: [Int] = []
    var events: [Readiness] = []
    while answers.count < 100 {
      try loop.poll(timeoutMilliseconds: -1, into: &events)
      answers += worker.answers()
    }
    #expect(answers == (1...100).map { $0 * ($0 + 1) / 2 })
    worker.finish()
    #expect(!worker.submit(1))
  }

  @Test("a bounded queue refuses one more than its maximum, and everything once closed")
  func boundedQueue() {
    let queue = BoundedQueue<Int>(countMax: 3)
    #expect((0..<5).map { queue.offer($0) } == [true, true, true, false, false])
    #expect(queue.takeAll() == [0, 1, 2])
    #expect(queue.offer(9))
    queue.close()
    #expect(!queue.offer(10))
    #expect(queue.takeAll() == [9])
    #expect(queue.takeAll() == [])
  }
}
