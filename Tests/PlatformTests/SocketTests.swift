import Platform
import Primitives
import Testing

struct SocketTests {
  private static let loopback = SocketAddress(host: [127, 0, 0, 1], port: 0)

  @Test(
    "addresses are numeric or localhost, with a port",
    arguments: [
      ("127.0.0.1:10018", "127.0.0.1:10018"), ("localhost:1", "127.0.0.1:1"), ("[::1]:65535", "[::1]:65535"),
      ("0.0.0.0:0", "0.0.0.0:0"),
    ])
  func parse(text: String, shown: String) {
    #expect(SocketAddress(text)?.description == shown)
  }

  @Test(
    "what is no address is refused",
    arguments: [
      "", ":", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1", "example.com:80", "::1:80", "[::1]",
      "1.2.3:4",
    ])
  func malformed(text: String) {
    #expect(SocketAddress(text) == nil)
  }

  @Test("only this machine is loopback")
  func loopback() {
    for text in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
      #expect(SocketAddress(text)?.isLoopback == true, "\(text)")
    }
    for text in ["10.0.0.1:1", "0.0.0.0:1", "[::2]:1", "[::ffff:10.0.0.1]:1"] {
      #expect(SocketAddress(text)?.isLoopback == false, "\(text)")
    }
  }

  @Test("a port in use is told with its address")
  func portInUse() throws {
    let first = try Listener(on: Self.loopback)
    try first.start()
    let address = first.address
    #expect(address.port != 0)
    #expect(throws: SocketError.portInUse(address)) { _ = try Listener(on: address).address }
  }

  @Test("an address of another machine is told")
  func foreignAddress() {
    let address = SocketAddress(host: [192, 0, 2, 1], port: 0)
    #expect(throws: SocketError.addressNotAvailable(address)) { _ = try Listener(on: address).address }
  }

  @Test("nobody there is an error that names the address")
  func refused() throws {
    let address = try Listener(on: Self.loopback).address
    #expect(throws: SocketError.system("connect to", address, .connectionRefused)) {
      _ = try BlockingSocket(connectingTo: address, timeoutMilliseconds: 5000).address
    }
  }

  @Test("bytes go both ways, and the end of one side is seen by the other")
  func conversation() throws {
    let listener = try Listener(on: Self.loopback)
    try listener.start()
    let address = listener.address
    let client = try BlockingSocket(connectingTo: address, timeoutMilliseconds: 5000)
    try client.send(Array("hello".utf8))
    let buffer = ReadBuffer(byteCount: 64)
    try withAccepted(listener) { server in
      #expect(server.peerAddress()?.isLoopback == true)
      var got: [UInt8] = []
      while got.count < 5 {
        _ = unsafe try buffer.read(from: server) { unsafe got.append(contentsOf: $0) }
      }
      #expect(got == Array("hello".utf8))
      unsafe #expect(try buffer.read(from: server) { _ in } == .wouldBlock)
      #expect(try server.write([1, 2, 3], from: 1) == 2)
    }
    #expect(try client.receive(countMax: 10) == [2, 3])
    #expect(try client.receive(countMax: 10) == [])
  }

  @Test("a silent server times out")
  func silence() throws {
    let listener = try Listener(on: Self.loopback)
    try listener.start()
    let address = listener.address
    let client = try BlockingSocket(connectingTo: address, timeoutMilliseconds: 50)
    #expect(throws: SocketError.timedOut(address)) { _ = try client.receive(countMax: 1) }
  }

  @Test("a connection comes from the address it is told to")
  func boundSource() throws {
    let listener = try Listener(on: Self.loopback)
    try listener.start()
    let source = SocketAddress(host: [127, 0, 0, 9], port: 5)
    let connection = try beginConnecting(to: listener.address, from: source)
    try withAccepted(listener) { server in #expect(server.peerAddress()?.host == [127, 0, 0, 9]) }
    #expect(connection.connectionFailure() == nil)
  }

  @Test("seconds since 1970 are shown as a date")
  func timestamps() {
    #expect(timestamp(wallMilliseconds: 0) == "1970-01-01T00:00:00.000Z")
    #expect(timestamp(wallMilliseconds: 951_827_696_789) == "2000-02-29T12:34:56.789Z")
    #expect(timestamp(wallMilliseconds: 1_735_689_599_999) == "2024-12-31T23:59:59.999Z")
  }

  /// Waits for the next connection of `listener`.
  private func withAccepted(_ listener: borrowing Listener, _ body: (borrowing Descriptor) throws -> Void) throws {
    let loop = try EventLoop()
    try loop.watch(listener.descriptor, .reading, token: 1)
    var events: [Readiness] = []
    try loop.poll(timeoutMilliseconds: 5000, into: &events)
    let accepted = try listener.accept()
    switch accepted {
    case .some(let server): try body(server)
    case nil: Issue.record("no connection came")
    }
  }
}
