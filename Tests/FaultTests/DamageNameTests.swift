import Causality
import Primitives
import Simulation
import Storage
import Testing

@Suite("Damage says what was hit")
struct DamageNameTests {
  /// A synced store and its records, with or without the hints that let it open unread.
  private func closed(hints: Bool) throws -> (rig: Rig, records: [PlacedRecord]) {
    var rig = try Rig.filled(.never, rounds: 1)
    try rig.shutdown()
    if !hints { for path in rig.storeFiles where path.hasSuffix(".hint") { try rig.disk.unlink(path) } }
    return (rig, try rig.placedRecords())
  }

  /// The error that opening the store or, if it opens, reading the key ends with.
  private func error(_ rig: inout Rig, reading key: [UInt8]) throws -> StorageError? {
    try rig.reopen()
    if let damage = rig.engine.recovery.damaged.first {
      #expect(damage.store == Rig.seeds[0].id && rig.engine.recovery.damaged.count == 1)
      return damage.error
    }
    do {
      _ = try rig.lookup(key)
      return nil
    } catch { return error }
  }

  @Test("at open and by a read: file, offset, and the key where its bytes still say it", arguments: [false, true])
  func names(hints: Bool) throws {
    let (rig, records) = try closed(hints: hints)
    for record in records {
      let keyEnd = (record.isTombstone ? 36 : 28) + record.key.count
      for byte in 0..<record.byteCount {
        var copy = rig
        copy.disk.flipBit(byte % 8, ofByte: Int(record.offset) + byte, in: record.path)
        let found = try #require(try error(&copy, reading: record.key), "\(record) byte \(byte)")
        guard case .damaged(record.path, record.offset, _, let key) = found else {
          Issue.record("\(record) byte \(byte): \(found)")
          continue
        }
        // Bytes 4 to 15 are lengths, flags and kind: what they no longer say is not guessed.
        switch byte {
        case 4..<16: #expect(key == nil || key == record.key, "\(record) byte \(byte)")
        case keyEnd - record.key.count..<keyEnd: #expect(key != nil && key != record.key, "\(record) byte \(byte)")
        default: #expect(key == record.key, "\(record) byte \(byte)")
        }
      }
    }
  }

  @Test("a line names the key as it is asked to, shows every byte harmlessly, and cuts what is too long")
  func lines() {
    func damaged(_ key: [UInt8]?) -> StorageError { .damaged(path: "/f", offset: 64, reason: "why", key: key) }
    #expect("\(damaged(nil))" == "/f is damaged at byte 64: why")
    #expect(
      "\(damaged([0, 0x61, 0x5C, 0xFF, 0x0A]))"
        == "/f is damaged at byte 64: why; key hit, probably: \\x00a\\x5c\\xff\\x0a")
    #expect(damaged([1]).text { "\($0.count) byte" } == "/f is damaged at byte 64: why; key hit, probably: 1 byte")
    let most = StorageError.keyTextBytesMax
    for (count, isCut) in [(most, false), (most + 1, true), (1 << 17, true)] {
      let text = "\(damaged(Array(repeating: 0x61, count: count)))"
      #expect(text.hasSuffix(isCut ? "a…" : "a") && text.filter { $0 == "a" }.count == min(count, most) + 4)
    }
    #expect("\(damaged(Array(repeating: 0xFF, count: 1 << 17)))".utf8.count < most + 80)
  }
}
