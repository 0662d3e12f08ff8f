// The rules of the delete protocol (Docs/DeleteProtocol.md) that tests can switch off, one by one: a rule that nothing
// misses when it is off is either not tested or not needed. Production knows nothing but `Rules.all` (a structure test
// sees to that); asking for a rule is one comparison of bits.

/// A rule, or the part of one that can be left out alone.
package enum Rule: UInt8, CaseIterable, Sendable {
  /// FLOOR: a push that is not above the floor creates no key.
  case floor
  /// GUARD: what was asked for before a purge creates no purged key after it.
  case guardPulls
  /// PURGE: only what every other owner has acknowledged is forgotten.
  case acknowledgements
  /// PURGE: only exactly the tombstone that was acknowledged is forgotten.
  case exactPurge
  /// PURGE: what is still on its way from the others' feeds has been seen before anything is forgotten.
  case echo
  /// FEED: what is not durable is not served.
  case durableFeed
  /// FEED: an acknowledgement is said when what it is about is durable, newer values included.
  case durableCursor
  /// FEED: a tombstone is stored also where its key is absent.
  case storeAbsent
  /// FEED: a cursor is of one incarnation of the peer's store.
  case cursorIncarnation
  /// TSN HEAD: no position of the feed is given twice.
  case feedHead
  /// DISK: a floor is durable before a purged tombstone leaves the disk.
  case durableFloor
  /// OVERLAP: a tombstone stays on the disk as long as a lower version of its key may.
  case overlap
  /// IDENT: a store whose promises went backwards is fenced.
  case fence
  /// IDENT: a store counts for nothing until the owners that are up have found its promises whole.
  case validation
  /// GENESIS: an empty store is not taken for new.
  case genesis
  /// REBUILD: what nobody else has, at or below the floor, is not kept.
  case quarantine
  /// VALIDATED PULL: nobody has it only when every owner has said so.
  case validatedPull
  /// READ: "absent" carries the floor, and what is at or below it does not count against it.
  case readFloor
  /// READ: an owner's version at or below another's floor is asked for once more.
  case reAsk
  /// STATE ORDER: what a peer said earlier is not compared with what it said later.
  case stateOrder
  /// ONE STAMP: a put that may have been applied is never stamped anew.
  case oneStamp
  /// DELETE OF NOTHING: a success always has its tombstone.
  case deleteOfNothing
  /// HINTS: a hint keeps the stamp of its write.
  case hintStamp
  /// AAE: values alone are compared.
  case valuesOnly
  /// JOURNAL: what is replayed is held to the floor as well.
  case replayFloor
  /// EXPIRY: an expired value does not go, it becomes a tombstone of its own stamp.
  case expiry
}

/// Which rules hold.
package struct Rules: Equatable, Sendable {
  private var off: UInt64 = 0

  private init() {}

  package static let all = Rules()

  /// For tests and simulated runs alone.
  package func without(_ rule: Rule) -> Rules {
    var rules = self
    rules.off |= 1 << UInt64(rule.rawValue)
    return rules
  }

  @inline(__always) package func hold(_ rule: Rule) -> Bool { off & (1 << UInt64(rule.rawValue)) == 0 }

  /// Those that do not hold.
  package var missing: [Rule] { Rule.allCases.filter { !hold($0) } }
}
