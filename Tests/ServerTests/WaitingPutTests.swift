import Glibc
import Messages
import Platform
import Primitives
import Testing

@testable import Protocols
@testable import Server

// A put with a condition waits for the read before it, and its bytes count as received meanwhile. No request has begun to
// come by that: when the put is answered its connection is idle, not slow.

struct WaitingPutTests {
  @Test("the time that a request may take to come does not run while a put waits for its read")
  func waiting() throws {
    let now = Instant(nanoseconds: 1)
    let configuration = PBConfiguration(node: "n1", serverVersion: "2.2.3", replicas: 3)
    let connection = ClientConnection(
      descriptor: Descriptor(owning: unsafe open("/dev/null", O_RDONLY | O_CLOEXEC)),
      key: SlabKey(slot: 0, generation: 0), isLocal: true, speaking: .binary(configuration), now: now)
    var put: [UInt8] = []
    put.appendFrame(
      .putRequest,
      RpbPutReq(bucket: [98], key: [107], content: RpbContent(value: [1, 2, 3]), ifNoneMatch: true))
    unsafe put.withUnsafeBytes { unsafe connection.received($0, now: now) }
    #expect(connection.requestBegan == now)
    guard case .request(_, let reply) = connection.nextFrame() else {
      Issue.record("no request")
      return
    }
    #expect(reply.heldBytes > 0)
    connection.waitingBytes = reply.heldBytes
    #expect(connection.settle(now: now) == reply.heldBytes)
    #expect(connection.requestBegan == nil)
    // The first bytes of another request do begin one.
    let later = now.adding(milliseconds: 1)
    unsafe put.prefix(3).withUnsafeBytes { unsafe connection.received($0, now: later) }
    #expect(connection.settle(now: later) == 3 && connection.requestBegan == later)
  }
}
