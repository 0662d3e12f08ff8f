import Platform
import Primitives
import Protocols
import Testing

@testable import Client

@Suite struct RequestPumpTests {
  // MARK: Answers

  @Test("every request comes back once, with its own answer, however the bytes are cut", arguments: UInt64(0)..<6)
  func answers(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    let server = try ScriptedServer(sliceMax: 1 + generator.below(400)) { .ok(Array($0.target.utf8) + $0.body) }
    var limits = RequestPump.Limits()
    limits.connectionsPerEndpoint = 1 + generator.below(3)
    limits.inFlightPerConnectionMax = 1 + generator.below(8)
    let pump = try RequestPump([server.endpoint], limits: limits)
    var load = Load(total: 300) { number in
      put("/\(number)", body: [UInt8](repeating: UInt8(number % 251), count: number * 7 % 90))
    }
    try load.run(pump) { completion in
      let number = Int(completion.tag)
      #expect(completion.status == 200)
      let expected = Array("/\(number)".utf8) + [UInt8](repeating: UInt8(number % 251), count: number * 7 % 90)
      #expect(Array(pump.body(of: completion)) == expected)
      return true
    }
    #expect(pump.inFlight == 0)
  }

  @Test("the answers of one connection come in the order of its requests, and headers can be read")
  func orderAndHeaders() throws {
    let server = try ScriptedServer { request in
      .send(ScriptedServer.answer(404, [], headers: "X-Riak-Meta-Target:  \(request.target)\t \r\n"))
    }
    let pump = try RequestPump([server.endpoint], limits: limits(connections: 1, inFlight: 8))
    for number in 0..<8 { #expect(pump.offer(UInt64(number)) { out, _ in out += get("/\(number)") }) }
    var tags: [UInt64] = []
    while tags.count < 8 {
      for completion in try pump.poll(timeoutMilliseconds: 1000) {
        var seen: [String] = []
        pump.forEachHeader(of: completion) { bytes, name, value in
          seen.append([name, value].map { String(decoding: bytes[$0], as: UTF8.self) }.joined(separator: "="))
        }
        #expect(seen == ["X-Riak-Meta-Target=/\(completion.tag)", "Content-Length=0"])
        tags.append(completion.tag)
      }
    }
    #expect(tags == Array(0..<8))
  }

  @Test("an answer to HEAD has no body, and interim answers are no answers")
  func headAndInterim() throws {
    let server = try ScriptedServer { request in
      request.method == "HEAD"
        ? .send(Array("HTTP/1.1 200 OK\r\nContent-Length: 70\r\n\r\n".utf8))
        : .send(Array("HTTP/1.1 100 Continue\r\n\r\n".utf8) + ScriptedServer.answer(200, [1]))
    }
    let pump = try RequestPump([server.endpoint], limits: limits(connections: 1, inFlight: 2))
    #expect(pump.offer(1, toHead: true) { out, _ in out += Array("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n".utf8) })
    #expect(pump.offer(2) { out, _ in out += get("/") })
    let done = try completions(of: pump, count: 2)
    #expect(done.map(\.bodyCount) == [0, 1])
  }

  // MARK: Bounds

  @Test("no more is in flight than the limit says, and nothing is encoded beyond it")
  func inFlightBound() throws {
    let server = try ScriptedServer { _ in .ignore }
    let pump = try RequestPump([server.endpoint], limits: limits(connections: 2, inFlight: 3))
    for number in 0..<6 { #expect(pump.offer(UInt64(number)) { out, _ in out += get("/") }) }
    #expect(!pump.hasRoom && !pump.hasRoom(onConnection: 1))
    #expect(!pump.offer(6) { _, _ in Issue.record("encoded without room") })
    #expect(pump.inFlight == 6 && pump.inFlight(onConnection: 0) == 3 && pump.inFlight(onConnection: 1) == 3)
  }

  @Test("a connection with outputBytesMax to write takes no more, and a larger request alone is taken")
  func outputBound() throws {
    let server = try ScriptedServer(listens: false) { _ in .noContent }
    var bounded = limits(connections: 1, inFlight: 8)
    bounded.outputBytesMax = 1000
    let pump = try RequestPump([server.endpoint], limits: bounded)
    #expect(pump.offer(1) { out, _ in out += [UInt8](repeating: 0, count: 999) })
    #expect(pump.offer(2) { out, _ in out += [UInt8](repeating: 0, count: 5000) })
    #expect(!pump.offer(3) { _, _ in Issue.record("encoded without room") })
  }

  @Test("an answer of answerBytesMax is taken, one byte more ends the connection")
  func answerBound() throws {
    let server = try ScriptedServer { request in .ok([UInt8](repeating: 7, count: Int(request.target.dropFirst())!)) }
    var bounded = limits(connections: 1, inFlight: 1)
    bounded.answerBytesMax = 100_000
    let pump = try RequestPump([server.endpoint], limits: bounded)
    #expect(pump.offer(1) { out, _ in out += get("/100000") })
    #expect(try completions(of: pump, count: 1).map(\.bodyCount) == [100_000])
    #expect(pump.offer(2) { out, _ in out += get("/100001") })
    #expect(try completions(of: pump, count: 1).map(\.kind) == ["unanswered"])
  }

  // MARK: Failures

  @Test("what was sent and not answered is told from what was answered when the node closes")
  func closedWithin() throws {
    let server = try ScriptedServer { $0.numberOnConnection < 3 ? .noContent : .close }
    let pump = try RequestPump([server.endpoint], limits: limits(connections: 1, inFlight: 8))
    for number in 0..<8 { #expect(pump.offer(UInt64(number)) { out, _ in out += get("/") }) }
    let done = try completions(of: pump, count: 8)
    #expect(done.map(\.tag) == Array(0..<8))
    #expect(done.map(\.kind) == Array(repeating: "204", count: 3) + Array(repeating: "unanswered", count: 5))
  }

  @Test("what stands behind an answer that ends the connection is not performed")
  func behindTheEnd() throws {
    let last = Array("HTTP/1.1 204 X\r\nConnection: close\r\n\r\n".utf8)
    let server = try ScriptedServer { $0.numberOnConnection == 1 ? .sendAndClose(last) : .noContent }
    let pump = try RequestPump([server.endpoint], limits: limits(connections: 1, inFlight: 4))
    for number in 0..<4 { #expect(pump.offer(UInt64(number)) { out, _ in out += get("/") }) }
    #expect(try completions(of: pump, count: 4).map(\.kind) == ["204", "204", "not performed", "not performed"])
    // The node did nothing wrong: the next connection is made at once.
    #expect(try eventuallyOffer(9, to: pump))
    #expect(try completions(of: pump, count: 1).map(\.kind) == ["204"])
  }

  @Test("a request that did not leave whole is not performed")
  func cutOff() throws {
    // It reads one request and never again: the rest stays in the sockets and in the pump.
    let server = try ScriptedServer { _ in .close }
    let pump = try RequestPump([server.endpoint], limits: limits(connections: 1, inFlight: 2))
    #expect(pump.offer(1) { out, _ in out += get("/") })
    #expect(pump.offer(2) { out, _ in out += put("/", body: [UInt8](repeating: 1, count: 32 << 20)) })
    #expect(try completions(of: pump, count: 2).map(\.kind) == ["unanswered", "not performed"])
  }

  @Test("a refused connection performs nothing; other nodes take over, and the node is asked again when it is there")
  func takeOver() throws {
    let absent = try ScriptedServer(listens: false) { _ in .ok([1]) }
    let present = try ScriptedServer { _ in .ok([2]) }
    let pump = try RequestPump([absent.endpoint, present.endpoint], limits: limits(connections: 2, inFlight: 4))
    var load = Load(total: 500) { get("/\($0)") }
    var refused = 0
    try load.run(pump) { completion in
      if completion.status == 200 {
        #expect(pump.endpoint(ofConnection: completion.connection) == present.endpoint)
        return true
      }
      guard case .notPerformed(.notReached) = completion.outcome else {
        Issue.record("\(pump.reason(completion))")
        return true
      }
      refused += 1
      return false
    }
    // What was given to it before it was known to be absent.
    #expect(refused <= 8)
    try absent.listen()
    var answered = Set<Int>()
    while answered.count < 2 {
      if pump.hasRoom { _ = pump.offer(0) { out, _ in out += get("/") } }
      for completion in try pump.poll(timeoutMilliseconds: 20) {
        if completion.status == 200 { answered.insert(Int(pump.body(of: completion)[...].first ?? 0)) }
      }
    }
    #expect(answered == [1, 2])
  }

  @Test("a connection moves on to its next place at once, around and around, and rests when all have failed")
  func substitutes() throws {
    let absent = try ScriptedServer(listens: false) { _ in .ok([1]) }
    let closing = try ScriptedServer { $0.target == "/last" ? .close : .ok([2]) }
    let present = try ScriptedServer { $0.target == "/last" ? .close : .ok([3]) }
    let pump = try RequestPump(
      substitutes: [[absent.endpoint, closing.endpoint, present.endpoint]], limits: limits(connections: 1, inFlight: 1))
    func ask(_ target: String) throws -> (done: Done, endpoint: Endpoint) {
      while true {
        if pump.hasRoom { _ = pump.offer(1) { out, _ in out += get(target) } }
        // What was given to a connection before it was known to be absent comes back, named by where it led.
        for completion in try pump.poll(timeoutMilliseconds: 10_000) {
          let endpoint = pump.endpoint(ofConnection: 0)
          if case .notPerformed = completion.outcome {
            #expect(endpoint == absent.endpoint)
            continue
          }
          #expect(pump.reason(completion).hasPrefix("\(endpoint)"))
          return (Done(completion, of: pump), endpoint)
        }
      }
    }
    #expect(try ask("/").endpoint == closing.endpoint)
    #expect(pump.connectionsLost == 0, "one that was never made is none that was lost")
    let lost = try ask("/last")
    #expect(lost.done.kind == "unanswered" && lost.endpoint == closing.endpoint)
    #expect(try ask("/").endpoint == present.endpoint)
    #expect(try ask("/").endpoint == present.endpoint, "it does not wander while it is answered")
    #expect(try ask("/last").endpoint == present.endpoint)
    #expect(try ask("/").endpoint == closing.endpoint, "past the one that is absent")
    #expect(pump.connectionsLost == 2)
  }

  @Test("an endpoint whose places have all failed is left alone for a while, a doubling one")
  func rest() {
    let places = (1...3).map { Endpoint(address: SocketAddress(host: [127, 0, 0, 1], port: $0)) }
    var endpoint = PumpEndpoint(places)
    let now = Instant(nanoseconds: 1_000_000_000)
    for place in [1, 2] {
      endpoint.failed(now: now)
      #expect(endpoint.endpoint == places[place] && endpoint.mayTry(now: now) && !endpoint.isTrusted)
    }
    endpoint.failed(now: now)
    #expect(endpoint.endpoint == places[0] && !endpoint.mayTry(now: now))
    #expect(endpoint.restsUntil == now.adding(milliseconds: 50))
    let later = endpoint.restsUntil
    for _ in places { endpoint.failed(now: later) }
    #expect(endpoint.restsUntil == later.adding(milliseconds: 100))
    endpoint.answered()
    #expect(endpoint.isTrusted && endpoint.mayTry(now: later))
  }

  @Test("a silent node's requests come back unanswered when patience is over")
  func silence() throws {
    let server = try ScriptedServer { $0.target == "/answered" ? .noContent : .ignore }
    var impatient = limits(connections: 1, inFlight: 4)
    impatient.patienceMilliseconds = 100
    let pump = try RequestPump([server.endpoint], limits: impatient)
    for target in ["/answered", "/ignored", "/also"] { #expect(pump.offer(0) { out, _ in out += get(target) }) }
    #expect(try completions(of: pump, count: 3).map(\.kind) == ["204", "unanswered", "unanswered"])
  }

  @Test("a node that answers 503 is asked one thing at a time until it answers otherwise")
  func rests() throws {
    let server = try ScriptedServer { $0.target == "/busy" ? .send(ScriptedServer.answer(503, [])) : .noContent }
    let pump = try RequestPump([server.endpoint], limits: limits(connections: 2, inFlight: 4))
    #expect(pump.offer(1) { out, _ in out += get("/busy") })
    #expect(try completions(of: pump, count: 1).map(\.kind) == ["503"])
    #expect(try eventuallyOffer(2, to: pump))
    #expect(!pump.hasRoom, "the second waits for the answer to the first")
    #expect(try completions(of: pump, count: 1).map(\.kind) == ["204"])
    for number in 3..<7 { #expect(pump.offer(UInt64(number)) { out, _ in out += get("/") }) }
  }

  @Test(
    "what is no answer ends the connection and says so",
    arguments: [
      "SSH-2.0-x\r\n", "HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "HTTP/1.1 204 X\r\n\r\nmore",
    ])
  func garbage(text: String) throws {
    let server = try ScriptedServer { _ in .send(Array(text.utf8)) }
    let pump = try RequestPump([server.endpoint], limits: limits(connections: 1, inFlight: 1))
    #expect(pump.offer(1) { out, _ in out += get("/") })
    let done = try completions(of: pump, count: 1)
    #expect(done.map(\.kind) == [text.hasPrefix("HTTP/1.1 204") ? "204" : "unanswered"])
    if done[0].kind == "unanswered" { #expect(done[0].reason.contains("does not speak HTTP")) }
  }

  @Test("whatever nodes do, every request comes back exactly once and no answer goes astray", arguments: UInt64(0)..<8)
  func storm(seed: UInt64) throws {
    let generator = Locked(SeededGenerator(seed: seed))
    let script: @Sendable (SeenRequest) -> ScriptedServer.Reply = { request in
      generator.withLock {
        switch $0.below(40) {
        case 0: .close
        case 1: .sendAndClose(Array("HTTP/1.1 200 X\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".utf8))
        case 2: .sendAndClose(Array("HTTP/1.1 200 X\r\nContent-Length: 9\r\n\r\nhalf".utf8))
        case 3: .send(ScriptedServer.answer(503, Array(request.target.utf8)))
        default: .ok(Array(request.target.utf8))
        }
      }
    }
    let servers = try (0..<2).map { _ in try ScriptedServer(sliceMax: 700, script) }
    let pump = try RequestPump(servers.map(\.endpoint), limits: limits(connections: 2, inFlight: 5))
    var load = Load(total: 400) { get("/\($0)") }
    try load.run(pump) { completion in
      guard case .answered(let answer) = completion.outcome, answer.status == 200, answer.keepsConnection else {
        return false
      }
      #expect(Array(pump.body(of: completion)) == Array("/\(completion.tag)".utf8))
      return true
    }
    #expect(pump.inFlight == 0)
  }

  // MARK: Other descriptors

  @Test("a watched descriptor ends the wait and is named")
  func watched() throws {
    let server = try ScriptedServer { _ in .noContent }
    let listener = try Listener(on: SocketAddress(host: [127, 0, 0, 1], port: 0))
    try listener.start()
    let pump = try RequestPump([server.endpoint])
    try pump.watch(listener.descriptor, token: 3)
    let connection = try beginConnecting(to: listener.address, from: nil)
    while !pump.isReady(3) { _ = try pump.poll(timeoutMilliseconds: 10_000) }
    #expect(!pump.isReady(2))
    try pump.forget(listener.descriptor)
    _ = try pump.poll(timeoutMilliseconds: 0)
    #expect(!pump.isReady(3))
    _ = consume connection
  }
}

// MARK: - Driving a pump

private func limits(connections: Int, inFlight: Int) -> RequestPump.Limits {
  var limits = RequestPump.Limits()
  limits.connectionsPerEndpoint = connections
  limits.inFlightPerConnectionMax = inFlight
  return limits
}

private func get(_ target: String) -> [UInt8] { Array("GET \(target) HTTP/1.1\r\nHost: h\r\n\r\n".utf8) }

private func put(_ target: String, body: [UInt8]) -> [UInt8] {
  Array("PUT \(target) HTTP/1.1\r\nHost: h\r\nContent-Length: \(body.count)\r\n\r\n".utf8) + body
}

/// A completion without its pump.
private struct Done {
  let tag: UInt64
  let kind: String
  let bodyCount: Int
  let reason: String

  init(_ completion: PumpCompletion, of pump: RequestPump) {
    tag = completion.tag
    kind =
      switch completion.outcome {
      case .answered(let answer): "\(answer.status)"
      case .answeredFrame(let answer): "\(answer.outcome)"
      case .notPerformed: "not performed"
      case .unanswered: "unanswered"
      }
    bodyCount = pump.body(of: completion).count
    reason = pump.reason(completion)
  }
}

private func completions(of pump: RequestPump, count: Int) throws -> [Done] {
  var done: [Done] = []
  while done.count < count {
    done += try pump.poll(timeoutMilliseconds: 10_000).map { Done($0, of: pump) }
  }
  return done
}

private func eventuallyOffer(_ tag: UInt64, to pump: RequestPump) throws -> Bool {
  while !pump.hasRoom { #expect(try pump.poll(timeoutMilliseconds: 10).isEmpty) }
  return pump.offer(tag) { out, _ in out += get("/") }
}

/// Requests with the tags 0..<total, repeated until they count as done.
private struct Load {
  let total: Int
  let request: (Int) -> [UInt8]
  private var waiting: [Int]
  private var isInFlight: Set<Int> = []

  init(total: Int, _ request: @escaping (Int) -> [UInt8]) {
    self.total = total
    self.request = request
    waiting = Array((0..<total).reversed())
  }

  mutating func run(_ pump: RequestPump, isDone: (PumpCompletion) -> Bool) throws {
    var done = 0
    while done < total {
      while let number = waiting.last {
        let bytes = request(number)
        guard pump.offer(UInt64(number), { out, _ in out += bytes }) else { break }
        waiting.removeLast()
        isInFlight.insert(number)
      }
      for completion in try pump.poll(timeoutMilliseconds: 10_000) {
        #expect(isInFlight.remove(Int(completion.tag)) != nil, "came back twice")
        if isDone(completion) { done += 1 } else { waiting.append(Int(completion.tag)) }
      }
    }
    #expect(isInFlight.isEmpty)
  }
}
