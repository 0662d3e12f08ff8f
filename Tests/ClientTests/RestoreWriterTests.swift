import Causality
import Client
import Messages
import Platform
import Protocols
import Storage
import Testing

@testable import cairn

@Suite("Values that are restored") struct RestoreWriterTests {
  private final class Seen: Sendable {
    let requests = Locked<[SeenRequest]>([])
  }

  private func found(_ key: String, expiry: Expiry = .never, payload: [UInt8]? = nil) -> BackupMerge.Found {
    let name = ObjectKey(bucket: Array("b".utf8), key: Array(key.utf8))
    let content = ObjectContent(contentType: Array("a/b".utf8), value: Array("value".utf8))
    return BackupMerge.Found(
      key: name?.encoded ?? [], stamp: .zero, expiry: expiry, payload: payload ?? content.encoded())
  }

  private func write(
    _ values: [BackupMerge.Found], hasDefault: Bool = false,
    refusing: @escaping @Sendable (String) -> Bool = { _ in false }
  ) throws -> (RestoreWriter, [SeenRequest]) {
    let seen = Seen()
    let server = try ScriptedServer { request in
      seen.requests.withLock { $0.append(request) }
      guard refusing(request.target) else { return .noContent }
      return .send(ScriptedServer.answer(431, Array("Headers are longer".utf8)))
    }
    let target = RestoreTarget(
      endpoints: [server.endpoint], clusterID: "c", nodeCount: 1, hasDefaultLifetime: hasDefault)
    let writer = try RestoreWriter(target, inFlightMax: 4, retryMilliseconds: 10_000, isResumed: false)
    for value in values { try writer.write(value) }
    try writer.finish()
    return (writer, seen.requests.withLock { $0 })
  }

  @Test("one that the cluster refuses, or nobody can read, is named and counted, and all others are written")
  func refused() throws {
    let values = (0..<60).map { found("k\($0)") } + [found("torn", payload: [9])]
    let (writer, _) = try write(values) { target in
      target.hasSuffix("k1") || target.split(separator: "/").last.map { $0.hasPrefix("k3") } == true
    }
    // k1, k3, and k30 to k39.
    #expect(writer.counts == RestoreCounts(stored: 48, bytes: 48 * 5, present: 0, rejected: 13))
    #expect(writer.rejections.contains("b/torn: it is no object of this release; use the one that wrote it"))
    #expect(writer.rejections.contains { $0.hasPrefix("b/k1: ") && $0.contains("Headers are longer") })
    let (many, _) = try write(values) { _ in true }
    #expect(many.counts.rejected == 61 && many.rejections.count == RestoreWriter.rejectionsNamedMax)
  }

  @Test("that a value never expires is said where values that say nothing do", arguments: [false, true])
  func never(hasDefault: Bool) throws {
    let (_, requests) = try write([found("k")], hasDefault: hasDefault)
    let headers = requests.flatMap(\.headers).map { $0.lowercased() }
    #expect(headers.contains { $0.hasPrefix("content-type") })
    #expect(headers.contains { $0.hasPrefix("x-cairn-expires-in") } == hasDefault, "\(headers)")
  }
}
