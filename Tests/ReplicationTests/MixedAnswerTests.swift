import Causality
import Messages
import Primitives
import Simulation
import Storage
import Testing

@testable import Replication

extension TestCluster {
  /// One bit of the newest record of a key, in a sealed file with a hint of this node.
  func flipNewest(_ key: String, at id: Int) throws {
    guard let disk = self[id].node?.disk else { return }
    let wanted = key.objectKey.encoded
    for path in disk.paths.reversed() where path.hasSuffix(".data") && path.contains("/stores/p") {
      guard disk.paths.contains(String(path.dropLast(4)) + "hint"), let bytes = disk.contents(path), bytes.count > 200
      else { continue }
      for start in 0..<bytes.count - wanted.count where Array(bytes[start..<start + wanted.count]) == wanted {
        self[id].node?.disk.flipBit(3, ofByte: start + wanted.count - 1, in: path)
        return
      }
    }
    throw PathFailure("no sealed record of \(key)")
  }
}

@Suite("Answers to the repair of a record that are not of one moment")
struct MixedAnswerTests {
  @Test(
    "a value that one owner told before it had the tombstone, and another has purged, does not take the tombstone's place",
    arguments: [[2], [2, 3]], [Rules.all, .all.without(.reAsk)])
  func mixed(purgers: [Int], rules: Rules) throws {
    let cluster = try TestCluster.sealed(scrubbing: false, rules: rules)
    let key = "key-7"
    let store = try #require(cluster.place(of: key)?.store)
    let withholds = { (letter: TestCluster.Letter) in
      letter.isFeed || letter.isPush(to: 3) { $0.version.isTombstone }
    }
    cluster.treat = { withholds($0) ? .drop : .deliver }
    #expect(try #require(cluster.answer(cluster.ask(1, delete(key)))).isDeleted)
    let grave = try #require(cluster.stored(1, key))
    #expect(cluster.stored(3, key)?.isTombstone == false)
    for index in 0..<60 { cluster.ask(1, put("more-\(index)", "a value that fills a file", w: .all)) }
    cluster.advance(milliseconds: 12_000)
    try cluster.flipNewest(key, at: 1)
    cluster.treat = { letter in
      if case .pull = letter.message.body, letter.to == TestCluster.id(2) { return .hold }
      return withholds(letter) ? .drop : .deliver
    }
    // The third owner tells its value, then it gets the tombstone.
    cluster.ask(1, get(key))
    cluster.advance(milliseconds: 10)
    #expect(cluster.antiEntropy(1).damages == 1)
    try cluster.apply(grave, key, to: store, at: 3)
    #expect(try cluster.purge(key, at: purgers))
    cluster.treat = { withholds($0) ? .drop : .deliver }
    cluster.release()
    cluster.advance(milliseconds: 100)
    let counters = cluster.antiEntropy(1)
    // Without the rule the value takes the place at once, and counts as a loss.
    let isRepaired = rules == .all && purgers == [2]
    #expect(counters.repairs == (isRepaired ? 1 : 0) && counters.losses == (isRepaired ? 0 : 1))
    guard rules == .all else { return }
    #expect(cluster.readable(key, through: [1, 2, 3]).isEmpty)
    #expect(cluster.stored(1, key)?.isTombstone ?? true)
    #expect(cluster.stored(1, key) != nil || cluster[1].node?.engine?.floor(store) ?? .zero >= grave.stamp)
  }
}
