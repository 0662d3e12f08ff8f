import Causality
import Primitives
import Simulation
import Storage
import Testing

// A node's directory with everything in it, and every way in which one bit of it can flip and one file of it end early:
// the offline check says so, and the engine serves what was written or says why it does not. What is checked of single
// kinds of files elsewhere is checked there in more detail; here nothing is left out.

@Suite("Every bit and every length of every file")
struct EveryByteTests {
  enum Kind: String, CaseIterable, Sendable, CustomTestStringConvertible {
    case node, manifest, hint, data, journal
    var testDescription: String { rawValue }

    func takes(_ path: String) -> Bool {
      switch self {
      case .node: path == "/data/node"
      case .manifest: path == Rig.store + "/manifest"
      case .hint, .data: path.hasPrefix(Rig.store + "/") && path.hasSuffix("." + rawValue)
      case .journal: path.hasSuffix(".journal")
      }
    }
  }

  /// Files sealed and open, hints, superseded records, tombstones, and writes that only the journal makes durable.
  private struct Scene {
    var rig: Rig
    /// What every key must be, all of it acknowledged as durable.
    var truth: [[UInt8]: StoredVersion] = [:]

    init() throws {
      rig = try Rig(seed: 1, sync: .always, fileBytesMax: 200)
      let file = try rig.disk.open("/data/node", .create)
      try rig.disk.append(Rig.node.encoded(), to: file)
      let all = (0..<40).map { Array("k\($0)".utf8) }
      let keys = Array(all.filter { rig.store(of: $0) == Rig.seeds[0].id }.prefix(4))
      let stranger = all.first { rig.store(of: $0) != Rig.seeds[0].id } ?? []
      for (index, key) in (keys + [stranger]).enumerated() { try write(key, "old", at: 10 + UInt64(index)) }
      try write(keys[0], nil, at: 20)
      try write(keys[1], "new", at: 21)
      for _ in 0..<6 { try rig.work(afterMilliseconds: 70_000) }
      // From here on nothing is checkpointed.
      try write(keys[2], nil, at: 30)
      try write(keys[0], "again", at: 31)
      try write(keys[3], "newer", at: 32)
    }

    private mutating func write(_ key: [UInt8], _ value: String?, at time: UInt64) throws {
      let version = StoredVersion(stamp: stamp(time), isTombstone: value == nil, value: Array((value ?? "").utf8))
      _ = try rig.apply(version, key: key)
      truth[key] = version
      try rig.engine.flush(on: &rig.disk)
      try rig.sync()
    }

    /// Findings of the whole check.
    func findings() throws -> [StoreFinding] {
      var disk = rig.disk
      disk.killProcess()
      return NodeCheck.run(try NodeContents(reading: Rig.root, on: &disk), on: &disk).findings.all
        + (try rig.check().findings.all)
    }

    enum Outcome { case equal, toldWhy }

    /// Opens what is there and reads every key: each is as it was written, or the reason why not names `path`. (A hole in
    /// the journal may be noticed in the next segment only.)
    mutating func reopened(_ path: String, _ label: String) throws -> Outcome {
      do {
        try rig.reopen()
      } catch {
        #expect("\(error)".hasPrefix(path), "\(label): \(error)")
        return .toldWhy
      }
      for damage in rig.engine.recovery.damaged { #expect("\(damage.error)".hasPrefix(path), "\(label): \(damage)") }
      #expect(rig.engine.recovery.missing.isEmpty, "\(label)")
      var outcome = Outcome.equal
      for (key, version) in truth {
        do {
          let found = try rig.lookup(key)
          #expect(found == .found(version), "\(label): \(String(decoding: key, as: UTF8.self))")
        } catch {
          #expect("\(error)".hasPrefix(path), "\(label): \(error)")
          #expect(rig.engine.role(rig.store(of: key)) == .fenced, "\(label)")
          outcome = .toldWhy
        }
      }
      return outcome
    }
  }

  @Test("the scene has everything in it, and is clean")
  func scene() throws {
    var scene = try Scene()
    let paths = scene.rig.disk.paths
    for kind in Kind.allCases { #expect(paths.contains(where: kind.takes), "\(kind)") }
    let manifest = try #require(try StoreContents(reading: Rig.store, on: &scene.rig.disk).manifest)
    #expect(manifest.files.contains { $0.isSealed })
    let whole = manifest.files.filter {
      $0.syncedLength == UInt64(scene.rig.disk.contents(StorePath.data(Rig.store, $0.id))?.count ?? 0)
    }
    #expect(whole.count < paths.filter(Kind.data.takes).count, "some bytes are durable by the journal only")
    #expect(paths.filter(Kind.hint.takes).count < paths.filter(Kind.data.takes).count)
    #expect(try scene.findings().filter { $0.gravity == .error } == [])
    #expect(try scene.reopened("", "whole") == .equal)
  }

  @Test("a flipped bit is told, and nothing is lost or comes back by it", arguments: Kind.allCases)
  func flips(kind: Kind) throws {
    let scene = try Scene()
    let quiet = try scene.findings()
    for path in scene.rig.disk.paths.filter(kind.takes) {
      let place = Kind.journal.takes(path) ? "/data/journal/" : path
      let synced = try syncedLength(path, scene)
      for bit in 0..<(try #require(scene.rig.disk.contents(path)).count) * 8 {
        var copy = scene
        copy.rig.disk.flipBit(bit % 8, ofByte: bit / 8, in: path)
        let label = "\(path): bit \(bit % 8) of byte \(bit / 8)"
        let found = try copy.findings().filter { !quiet.contains($0) && $0.path.hasPrefix(place) }
        #expect(!found.isEmpty, "\(label)")
        let hasErrors = found.contains { $0.gravity == .error }
        if let synced { #expect(hasErrors == (bit / 8 < synced), "\(label): \(found)") }
        let outcome = try copy.reopened(place, label)
        #expect(outcome == .equal || hasErrors, "\(label)")
      }
    }
  }

  @Test(
    "a file that ends early is told unless nobody can tell, and nothing is lost or comes back by it",
    arguments: Kind.allCases)
  func cuts(kind: Kind) throws {
    let scene = try Scene()
    let quiet = try scene.findings()
    for path in scene.rig.disk.paths.filter(kind.takes) {
      let whole = try #require(scene.rig.disk.contents(path))
      let place = Kind.journal.takes(path) ? "/data/journal/" : path
      let synced = try syncedLength(path, scene)
      var silent = 0
      for length in whole.indices {
        var copy = scene
        copy.rig.disk.overwrite(path, with: Array(whole[..<length]))
        let label = "\(path) cut to \(length)"
        let found = try copy.findings().filter { !quiet.contains($0) && $0.path.hasPrefix(place) }
        let hasErrors = found.contains { $0.gravity == .error }
        if let synced { #expect(hasErrors == (length < synced), "\(label): \(found)") }
        if found.isEmpty { silent += 1 }
        let outcome = try copy.reopened(place, label)
        #expect(outcome == .equal || hasErrors, "\(label)")
      }
      // Only between two records or frames, behind all that was known to be durable.
      #expect(silent <= (synced == nil ? 10 : synced == whole.count ? 0 : 4), "\(path): \(silent)")
    }
  }

  /// Bytes of the file that the check must call an error when they are touched; nil in the journal, where frames decide.
  private func syncedLength(_ path: String, _ scene: Scene) throws -> Int? {
    if Kind.journal.takes(path) { return nil }
    guard Kind.data.takes(path) else { return try #require(scene.rig.disk.contents(path)).count }
    var disk = scene.rig.disk
    disk.killProcess()
    let facts = try StoreContents(reading: Rig.store, on: &disk).files.first { $0.path == path }
    return Int(try #require(facts).syncedLength)
  }
}
