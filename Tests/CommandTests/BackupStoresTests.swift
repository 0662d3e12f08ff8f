import Protocols
import Testing

@testable import cairn

@Suite("A backup counts on stores that their other owners have found whole") struct BackupStoresTests {
  private static let ring = JSON.object([
    "partitions": .integer(2), "n_val": .integer(3),
    "owners": .array([names(["n1", "n2", "n3"]), names(["n2", "n3", "n4"])]),
  ])

  private static func names(_ names: [String]) -> JSON { .array(names.map { .string($0) }) }

  private func store(_ partition: Int, role: String = "active", life: String = "a", _ found: [String]?) -> JSON {
    var members: [JSON.Member] = [
      JSON.Member(name: "store", value: .string("p00\(partition)-n3")),
      JSON.Member(name: "partition", value: .integer(partition)), JSON.Member(name: "role", value: .string(role)),
      JSON.Member(name: "incarnation", value: .string(life)),
    ]
    if let found { members.append(JSON.Member(name: "validated_with", value: Self.names(found))) }
    return .object(members)
  }

  private func status(_ stores: [JSON], state: String = "serving") -> JSON {
    .object([
      "name": .string("n3"), "state": .string(state), "reason": .string("why"), "cluster_id": .string("c"),
      "boot": .string("b"), "stores": .array(stores),
    ])
  }

  private func doubt(_ stores: [JSON], without: [String] = [], state: String = "serving") throws -> BackupStores.Doubt?
  {
    let check = try #require(BackupStores(ring: Self.ring, without: without))
    return check.doubt(of: status(stores, state: state), "n3")
  }

  @Test("each other owner of every store has found it whole, those aside that are left out")
  func validated() throws {
    let whole = [store(0, ["n1", "n2"]), store(1, ["n4", "n2"])]
    #expect(try doubt(whole) == nil)
    #expect(try doubt([store(0, ["n1"]), store(1, ["n4"])], without: ["n2"]) == nil)
    for (number, stores) in [[store(0, ["n2"]), whole[1]], [whole[0], store(1, ["n4", "n3"])]].enumerated() {
      let found = try doubt(stores)
      guard case .unvalidated(let text)? = found else { return #expect(Bool(false), "\(String(describing: found))") }
      let (place, who) = number == 0 ? ("p000-n3", "n1") : ("p001-n3", "n2")
      #expect(text.hasPrefix("store \(place) of n3 was not found whole by \(who) since n3 was started: "), "\(text)")
      #expect(text.hasSuffix("or leave n3 out with --without n3"))
    }
  }

  @Test("what a node does not say counts against it, and a store that is made anew is waited for by the operator")
  func refused() throws {
    #expect(
      try doubt([store(0, nil), store(1, ["n2", "n4"])])?.text.contains("found whole by n1 and n2 since") == true)
    for (stores, told) in [
      ([store(0, ["n1", "n2"])], "n3 has no store of partition 1, which it owns"),
      ([], "n3 has no store of partition 0, which it owns"),
      ([store(0, ["n1", "n2"]), store(1, role: "fenced", ["n2", "n4"])], "store p001-n3 of n3 is fenced; wait"),
      ([store(0, ["n1"]), store(1, role: "loading", [])], "store p001-n3 of n3 is loading; wait"),
      ([store(9, ["n1", "n2"])], "n3 says nothing of its store p009-n3"),
      ([.object(["store": .string("x")])], "n3 says nothing of its store x"),
    ] {
      guard case .refused(let text)? = try doubt(stores) else { return #expect(Bool(false), "\(told)") }
      #expect(text.hasPrefix(told), "\(text)")
    }
    #expect(try doubt([], state: "starting") == .refused("n3 does not serve yet: why"))
    #expect(BackupStores(ring: .object([:]), without: []) == nil)
    #expect(BackupStores(ring: .object(["partitions": .integer(1), "owners": .array([])]), without: []) == nil)
  }

  @Test("a store that was made anew, and a node that was started anew, is another one")
  func lives() {
    let before = BackupStores.lives(status([store(0, []), store(1, [])]))
    #expect(before == BackupStores.lives(status([store(1, ["n1"]), store(0, [])])))
    #expect(before != BackupStores.lives(status([store(0, life: "z", []), store(1, [])])))
    #expect(before.boot == "b" && before.incarnations == ["p000-n3": "a", "p001-n3": "a"])
  }
}
