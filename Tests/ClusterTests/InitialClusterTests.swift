import Cluster
import Primitives
import Testing

@Suite struct InitialClusterTests {
  @Test("members are sorted by name and numbered from 1, whatever the order in the text")
  func order() throws {
    let text = "n2=10.0.0.2:10026, n1=10.0.0.1:10016,n10=[::1]:10106,"
    let members = try InitialCluster.parse(text)
    #expect(members.map(\.name) == ["n1", "n10", "n2"])
    #expect(members.map(\.id.rawValue) == [1, 2, 3])
    #expect(members.map(\.address) == ["10.0.0.1:10016", "[::1]:10106", "10.0.0.2:10026"])
  }

  @Test(
    "a bad text is refused with what is wrong",
    arguments: [
      ("", InitialClusterError.empty),
      (" , ,", .empty),
      ("n1", .malformed("n1")),
      ("n1=10016", .malformed("n1=10016")),
      ("n1=:10016", .malformed("n1=:10016")),
      ("=h:1", .badName("")),
      ("a b=h:1", .badName("a b")),
      ("n/1=h:1", .badName("n/1")),
      ("n1=h:", .badPort(name: "n1", port: "")),
      ("n1=h:0", .badPort(name: "n1", port: "0")),
      ("n1=h:65536", .badPort(name: "n1", port: "65536")),
      ("n1=h:+1", .badPort(name: "n1", port: "+1")),
      ("n1=h:1,n1=h:2", .duplicateName("n1")),
      ("n1=h:1,n2=h:01", .duplicateAddress("h:1", first: "n1", second: "n2")),
    ])
  func refused(text: String, expected: InitialClusterError) {
    #expect(throws: expected) { try InitialCluster.parse(text) }
  }

  @Test("names and member counts are bounded")
  func bounds() throws {
    let longest = String(repeating: "n", count: InitialCluster.nameBytesMax)
    #expect(try InitialCluster.parse("\(longest)=h:1").count == 1)
    #expect(throws: InitialClusterError.badName(longest + "n")) { try InitialCluster.parse("\(longest)n=h:1") }
    func text(_ count: Int) -> String { (1...count).map { "n\($0)=h:\($0)" }.joined(separator: ",") }
    #expect(try InitialCluster.parse(text(InitialCluster.membersMax)).count == InitialCluster.membersMax)
    #expect(throws: InitialClusterError.tooMany(InitialCluster.membersMax + 1)) {
      try InitialCluster.parse(text(InitialCluster.membersMax + 1))
    }
  }

  @Test("the digest is stable, ignores order and follows every name and address")
  func digest() throws {
    let members = try InitialCluster.parse("n1=h:1,n2=h:2,n3=h:3")
    #expect(hexadecimal(InitialCluster.membersDigest(members)) == "f2c6046ed103ee51")
    #expect(InitialCluster.membersDigest(members.reversed()) == InitialCluster.membersDigest(members))
    for other in ["n1=h:1,n2=h:2", "n1=h:1,n2=h:2,n4=h:3", "n1=h:1,n2=h:2,n3=h:4"] {
      #expect(InitialCluster.membersDigest(try InitialCluster.parse(other)) != InitialCluster.membersDigest(members))
    }
  }
}
