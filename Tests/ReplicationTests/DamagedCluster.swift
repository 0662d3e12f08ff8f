import Messages
import Primitives
import Replication
import Simulation
import Storage
import Testing

// A cluster with sealed files, and the words for bits that flip in them.

extension TestCluster {
  static let scrubMilliseconds: UInt64 = 40_000
  static let damageKeys = (0..<60).map { "key-\($0)" }

  /// Every owner holds every key, most of them in sealed files with a hint. Nothing is merged but for damage.
  static func sealed(
    nodes: Int = 3, replicas: UInt8 = 3, scrubbing: Bool = true, sync: SyncMode = .always, rules: Rules = .all
  ) throws -> TestCluster {
    let cluster = TestCluster(nodes: nodes, replicas: replicas, sync: sync) { options in
      options.fileBytesMax = 600
      options.rules = rules
      options.checkpointSeconds = 1
      options.merge.window = .never
      options.antiEntropyMilliseconds = 0
      options.scrubMilliseconds = scrubbing ? scrubMilliseconds : 0
    }
    for key in damageKeys {
      #expect(try #require(cluster.answer(cluster.ask(1, put(key, "value of \(key)", w: .all)))).isStored)
    }
    cluster.advance(milliseconds: 3000)
    for id in 1...nodes { #expect(cluster.sealedKeys(id).count > 20) }
    return cluster
  }

  /// Keys that stand in a sealed file of this node that has its hint.
  func sealedKeys(_ id: Int) -> [String] { TestCluster.damageKeys.filter { place($0, at: id) != nil } }

  /// Where a key's value stands in a sealed file with a hint.
  func place(_ key: String, at id: Int) -> (path: String, offset: Int)? {
    guard let disk = self[id].node?.disk ?? self[id].disk else { return nil }
    let wanted = Array("value of \(key)".utf8)
    for path in disk.paths where path.hasSuffix(".data") && path.contains("/stores/p") {
      guard disk.paths.contains(String(path.dropLast(4)) + "hint"), let bytes = disk.contents(path),
        let range = bytes.firstRange(of: wanted)
      else { continue }
      // Not of a longer name.
      if range.upperBound < bytes.count, (48...57).contains(bytes[range.upperBound]) { continue }
      return (path, range.lowerBound)
    }
    return nil
  }

  /// One bit of the key's value on this node's disk. - Returns: The path of the file.
  @discardableResult
  func flip(_ key: String, at id: Int) throws -> String {
    let spot = try #require(place(key, at: id))
    if self[id].node != nil {
      self[id].node?.disk.flipBit(3, ofByte: spot.offset, in: spot.path)
    } else {
      self[id].disk?.flipBit(3, ofByte: spot.offset, in: spot.path)
    }
    return spot.path
  }

  /// Every key through every node at every r: right, or refused.
  func expectNothingWrong(_ keys: [String] = damageKeys, refusals: Bool = false, _ label: String = "") {
    for key in keys {
      for id in nodes.indices.map({ $0 + 1 }) where self[id].node != nil {
        for r in [QuorumSize.one, .quorum, .all] {
          let answer = answer(ask(id, get(key, r: r)))
          if refusals, case .failed? = answer { continue }
          #expect(
            answer?.text == "value of \(key)", "\(label): \(key) through n\(id), r \(r): \(String(describing: answer))")
        }
      }
    }
  }

  func antiEntropy(_ id: Int) -> AntiEntropyCounters { status(id)?.counters.antiEntropy ?? AntiEntropyCounters() }
  func fenced(_ id: Int) -> [StoreID] { status(id)?.stores.filter { $0.role == .fenced }.map(\.id) ?? [] }
  func roles(_ id: Int) -> Set<StoreRole> { Set(status(id)?.stores.map(\.role) ?? []) }
  func lines(_ id: Int, _ text: String) -> Int { self[id].log.count { $0.contains(text) } }
}

extension [UInt8] {
  fileprivate func firstRange(of wanted: [UInt8]) -> Range<Int>? {
    guard count >= wanted.count else { return nil }
    return (0...count - wanted.count).first { starts(with: wanted, at: $0) }.map { $0..<$0 + wanted.count }
  }

  private func starts(with wanted: [UInt8], at start: Int) -> Bool {
    for index in wanted.indices where self[start + index] != wanted[index] { return false }
    return true
  }
}
