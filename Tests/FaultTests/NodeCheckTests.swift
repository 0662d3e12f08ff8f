import Causality
import Primitives
import Simulation
import Testing

@testable import Storage

@Suite("Offline check of a node")
struct NodeCheckTests {
  /// A node's directory with writes that are in the journal only.
  private func running() throws -> Rig {
    var rig = try Rig.filled(.always, rounds: 1)
    let file = try rig.disk.open("/data/node", .create)
    try rig.disk.append(Rig.node.encoded(), to: file)
    return rig
  }

  private func check(_ rig: Rig) throws -> NodeReport {
    var disk = rig.disk
    disk.killProcess()
    return NodeCheck.run(try NodeContents(reading: Rig.root, on: &disk), on: &disk)
  }

  /// The next start refuses what the journal has.
  private func isRefused(_ rig: Rig) -> Bool {
    var copy = rig
    return (try? copy.reopen()) == nil
  }

  @Test("a whole journal is clean, and every write in it is counted")
  func whole() throws {
    let rig = try running()
    let report = try check(rig)
    #expect(report.findings.all == [] && report.segments == 1 && report.frames == 8 && report.skippedFrames == 0)
  }

  @Test("cursors and promises that do not read back, or are another node's, are an error")
  func promises() throws {
    var rig = try running()
    try rig.writePromises()
    #expect(try check(rig).findings.all == [])
    let path = StorePath.promises(Rig.root)
    var copy = rig
    copy.disk.flipBit(3, ofByte: 20, in: path)
    #expect(try check(copy).findings.all.map(\.path) == [path] && check(copy).findings.errorCount == 1)
    let own = try #require(rig.disk.contents(path))
    var file = try PromisesFile(decoding: own, path: path)
    file.node = NodeID(9)
    rig.disk.overwrite(path, with: file.encoded())
    #expect(try check(rig).findings.errorCount == 1 && isRefused(rig))
  }

  @Test("a flipped bit of the journal is an error when a start would refuse it, else it is told")
  func flips() throws {
    let rig = try running()
    let path = try #require(rig.disk.paths.first { $0.hasSuffix(".journal") })
    var errors = 0
    for bit in 0..<(try #require(rig.disk.contents(path)).count) * 8 where bit % 3 == 0 {
      var copy = rig
      copy.disk.flipBit(bit % 8, ofByte: bit / 8, in: path)
      let report = try check(copy)
      #expect(report.findings.all.first?.path == path, "bit \(bit)")
      #expect(report.findings.isClean != isRefused(copy), "bit \(bit)")
      errors += report.findings.errorCount
    }
    #expect(errors > 0)
  }

  @Test("a cut of the journal is an error when a start would refuse it, and a cut inside a frame is always told")
  func cuts() throws {
    let rig = try running()
    let path = try #require(rig.disk.paths.first { $0.hasSuffix(".journal") })
    let whole = try #require(rig.disk.contents(path))
    var silent = 0
    for length in whole.indices {
      var copy = rig
      copy.disk.overwrite(path, with: Array(whole[..<length]))
      let report = try check(copy)
      #expect(report.findings.isClean != isRefused(copy), "cut to \(length)")
      if report.findings.all.isEmpty { silent += 1 }
    }
    // Where one frame ends and the next begins nobody can tell that there was more.
    #expect(silent == 8)
  }

  @Test("what was set aside as damaged is told, and is neither checked nor one of the node's stores")
  func setAside() throws {
    var rig = try running()
    rig.disk.killProcess()
    try rig.disk.createDirectory("/data/damaged")
    try rig.disk.createDirectory("/data/damaged/p000-n3.1")
    let file = try rig.disk.open("/data/damaged/p000-n3.1/000001.data", .create)
    try rig.disk.append(Array("no record".utf8), to: file)
    let contents = try NodeContents(reading: Rig.root, on: &rig.disk)
    #expect(contents.setAside == ["/data/damaged/p000-n3.1"])
    #expect(contents.stores == Rig.seeds.map(\.id) && contents.otherNames.isEmpty)
    let report = try check(rig)
    #expect(report.findings.isClean && report.findings.all.map(\.path) == ["/data/damaged/p000-n3.1"])
    #expect(report.findings.all.first?.text.contains("not checked") == true)
  }

  @Test("a segment that is missing between others is found as a start finds it")
  func missingSegment() throws {
    var rig = try Rig(seed: 1, sync: .always, segmentBytes: 300, checkpointBytes: 1 << 20)
    let file = try rig.disk.open("/data/node", .create)
    try rig.disk.append(Rig.node.encoded(), to: file)
    for index in 0..<20 {
      _ = try rig.put("k\(index)", "a value", at: 10 + UInt64(index))
      try rig.engine.flush(on: &rig.disk)
      try rig.sync()
      try rig.work()
    }
    let segments = rig.disk.paths.filter { $0.hasSuffix(".journal") }
    #expect(segments.count > 3)
    #expect(try check(rig).findings.all == [])
    for segment in segments {
      var copy = rig
      try copy.disk.unlink(segment)
      #expect(try check(copy).findings.isClean != isRefused(copy), "\(segment)")
    }
    var copy = rig
    try copy.disk.unlink(segments[1])
    let finding = try #require(try check(copy).findings.all.first)
    #expect(finding.gravity == .error && finding.path == segments[2] && finding.offset == UInt64(FileHeader.byteCount))
    #expect("\(finding.text)".hasPrefix("a record of the journal"))
    do {
      try copy.reopen()
      Issue.record("a start takes a journal with a hole")
    } catch { #expect("\(error)".hasPrefix("\(segments[2]) is damaged at byte 64: ")) }
  }

  @Test("every flipped bit and every cut of the node's manifest is found")
  func manifest() throws {
    let rig = try running()
    let whole = try #require(rig.disk.contents("/data/node"))
    var damaged = whole.indices.map { Array(whole[..<$0]) }
    for bit in 0..<whole.count * 8 {
      var bytes = whole
      bytes[bit / 8] ^= 1 << UInt8(bit % 8)
      damaged.append(bytes)
    }
    for bytes in damaged {
      var copy = rig
      copy.disk.overwrite("/data/node", with: bytes)
      #expect(try check(copy).findings.all.first?.path == "/data/node")
      #expect(try check(copy).findings.errorCount >= 1)
    }
  }

  @Test("a store that the node must have and has not is an error; one that it does not know is told")
  func stores() throws {
    var rig = try running()
    var node = Rig.node
    node.stores.append(seedOf(5))
    rig.disk.overwrite("/data/node", with: node.encoded())
    var findings = try check(rig).findings
    #expect(findings.all.map(\.path) == ["/data/stores/p005-n3"] && findings.errorCount == 1)
    node.stores = [Rig.seeds[0]]
    rig.disk.overwrite("/data/node", with: node.encoded())
    try rig.disk.createDirectory("/data/stores/lost+found")
    let report = try check(rig)
    findings = report.findings
    #expect(findings.isClean)
    #expect(findings.all.map(\.path) == ["/data/stores/lost+found", "/data/stores/p001-n3"])
    #expect(report.skippedFrames > 0 && report.skippedFrames < report.frames)
    // The journal of another node.
    node.node = NodeID(7)
    rig.disk.overwrite("/data/node", with: node.encoded())
    #expect(!(try check(rig).findings.isClean))
  }

  @Test("what a directory is, is known by what is in it")
  func kinds() throws {
    var rig = try running()
    func kind(_ path: String) throws -> DirectoryKind { try DirectoryKind(of: path, on: &rig.disk) }
    #expect(try kind("/data") == .node)
    #expect(try kind("/data/stores") == .stores)
    #expect(try kind("/data/stores/p000-n3") == .store)
    #expect(try kind("/data/journal") == .other)
    #expect(try kind("/nowhere") == .absent)
    for (text, id) in [
      ("p000-n3", StoreID(partition: 0, replicas: 3)), ("p1023-n16", StoreID(partition: 1023, replicas: 16)),
      ("p00-n3", nil), ("p000-n03", nil), ("p000", nil), ("x000-n3", nil), ("p000-n3x", nil), ("p70000-n3", nil),
      ("", nil),
    ] { #expect(StoreID(text) == id, "\(text)") }
  }
}
