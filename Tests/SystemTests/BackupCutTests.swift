import Platform
import Testing

// A backup that meets a node which its peers have not met: what is in its stores may be older than what they forgot.

extension SystemTests {
  @Suite(.enabled(if: CutNetwork.obstacle == nil, "\(CutNetwork.obstacle ?? "")"))
  struct BackupCutTests {
    @Test("a node that was started behind a cut is in no backup until its peers have found its stores whole")
    func unvalidated() throws {
      try CutCluster.with("backup-cut") { cluster in
        let put = try cluster.command("put", "test", "k", "value", "--w", "3", "--url", cluster.url(1))
        #expect(put.code == 0, "\(put.errors)")
        let place = try ScratchDirectory("backup-cut-place")
        func backup(_ name: String, _ words: String...) throws -> CommandResult {
          let urls = (1...3).flatMap { ["--url", cluster.url($0)] }
          return try cairn(["backup", "\(place.path)/\(name)"] + urls + words, starter: cluster.network.entrance)
        }
        for node in 1...2 {
          try cluster.network.cut(node, 3)
          try cluster.network.cut(3, node)
        }
        try cluster.startAnew(3)
        try eventually("n3 serves alone") { (try? cluster.view(3).isServing) == true }
        let refused = try backup("a")
        #expect(
          refused.code == 1 && refused.errors.contains(" of n3 was not found whole by n1 and n2 since n3 was started"),
          "\(refused.errors)")
        let one = try backup("a", "--without", "n1")
        #expect(one.code == 1 && one.errors.contains(" of n3 was not found whole by n2 since"), "\(one.errors)")
        let two = try backup("a", "--without", "n3")
        #expect(two.code == 0, "\(two.errors)")
        try cluster.network.heal()
        try eventually("they reach each other") { try (1...3).allSatisfy { try cluster.view($0).missing.isEmpty } }
        let all = try backup("b")
        #expect(all.code == 0, "\(all.errors)")
      }
    }
  }
}
