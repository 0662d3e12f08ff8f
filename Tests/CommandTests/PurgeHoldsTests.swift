import Primitives
import Protocols
import Testing

@testable import cairn

@Suite("Nodes are asked again to hold their tombstones") struct PurgeHoldsTests {
  /// Two nodes that answer as told, and a clock that questions without an answer move on.
  private final class Nodes {
    /// By node, the numbers to be answered; nil for no answer. The last one stays.
    var answers: [[String?]]
    var milliseconds: UInt64 = 0
    var asked = [0, 0]

    init(_ answers: [[String?]]) { self.answers = answers }

    func ask(_ index: Int) throws(Failure) -> JSON {
      asked[index] += 1
      let given = answers[index].count > 1 ? answers[index].removeFirst() : answers[index][0]
      guard let given else {
        milliseconds += 5000
        throw Failure("n\(index + 1) is slow")
      }
      return .object(["hold": .string(given)])
    }

    func renew(_ holds: inout PurgeHolds) throws(Failure) {
      try holds.renew(
        ask: { (index) throws(Failure) in try ask(index) }, now: { Instant(nanoseconds: milliseconds * 1_000_000) },
        pause: { milliseconds += UInt64(PurgeHolds.pauseMilliseconds) })
    }
  }

  @Test("a node that is slow to answer is asked again, the others are not")
  func slow() throws {
    let nodes = Nodes([["a"], ["b", nil, nil, nil, nil, nil, "b"]])
    var holds = PurgeHolds(["n1", "n2"])
    try nodes.renew(&holds)
    try nodes.renew(&holds)
    #expect(nodes.asked == [2, 7])
    #expect(nodes.milliseconds < PurgeHolds.seconds * 1000)
  }

  @Test("it is asked for as long as its last word holds, and no longer; one that never answered, not for so long")
  func silent() {
    let nodes = Nodes([["a"], ["b", nil]])
    var holds = PurgeHolds(["n1", "n2"])
    #expect(throws: Never.self) { try nodes.renew(&holds) }
    #expect { try nodes.renew(&holds) } throws: { "\($0)".contains("n2 is slow") }
    let limit = PurgeHolds.seconds * 1000
    #expect((limit..<limit + 10_000).contains(nodes.milliseconds))
    let never = Nodes([["a"], [nil]])
    var others = PurgeHolds(["n1", "n2"])
    #expect { try never.renew(&others) } throws: { "\($0)".contains("n2 is slow") }
    #expect(never.milliseconds < PurgeHolds.firstMilliseconds + 10_000)
  }

  @Test("another number ends the backup: it may have forgotten tombstones in between")
  func interrupted() throws {
    let nodes = Nodes([["a", "a", "c"], ["b"]])
    var holds = PurgeHolds(["n1", "n2"])
    try nodes.renew(&holds)
    try nodes.renew(&holds)
    #expect { try nodes.renew(&holds) } throws: { "\($0)".contains("n1 was started anew, or was away too long") }
  }
}
