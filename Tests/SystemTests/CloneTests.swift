import Client
import Platform
import Protocols
import Testing

// A copy of a running node's directory that somebody starts, while the node itself goes on: on another machine, and on
// the same one.

extension SystemTests {
  @Suite(.enabled(if: CutNetwork.obstacle == nil, "\(CutNetwork.obstacle ?? "")"))
  struct CloneTests {
    @Test("a copy that is started on another machine is refused while the node itself answers, and changes nothing")
    func elsewhere() throws {
      try CutCluster.with("clone") { cluster in
        for key in 0..<8 { try cluster.succeed("put", "test", "k\(key)", "value \(key)", "--w", "3", through: 1) }
        let copy = cluster.data(3) + "-copy"
        try FileTree.copy(cluster.data(3), to: copy)
        for key in 0..<4 { try cluster.succeed("delete", "test", "k\(key)", through: 2) }
        let clone = try cluster.startProcess(
          of: 3, data: copy, http: CutNetwork.neighbourAddress, cluster: "0.0.0.0",
          starter: try cluster.network.makeNeighbour())
        try eventually("n1 and n2 refuse the clone") {
          [1, 2].allSatisfy {
            cluster.log($0).contains("two processes say that they are n3: the one that was there answers")
              && cluster.log($0).contains("refused another process that says it is n3: ")
          }
        }
        // With the node itself all goes on, whoever is asked.
        for node in 1...3 {
          try cluster.succeed("put", "test", "later\(node)", "later", "--w", "3", through: node)
        }
        // The clone writes nothing, and its quorum is not its copy.
        for words in [["put", "test", "k9", "wrong"], ["delete", "test", "k7"], ["get", "test", "k1", "--r", "2"]] {
          let url = "http://\(CutNetwork.neighbourAddress):7008"
          let result = try cairn(words + ["--url", url, "--timeout", "1000"], starter: cluster.network.entrance)
          #expect(result.code == 1 && result.outputText.isEmpty, "\(words): \(result.outputText)")
        }
        #expect(clone.isRunning, "it waits to be heard")
        clone.signal(.kill)

        try cluster.converge()
        for node in 1...3 {
          #expect(cluster.log(node).contains(" is fenced") == false && cluster.log(node).contains(" is down") == false)
          for key in 0..<10 {
            let result = try cluster.command("get", "test", "k\(key)", "--r", "3", "--url", cluster.url(node))
            let isThere = (4..<8).contains(key)
            #expect(isThere ? result.outputText == "value \(key)" : result.errors.contains("not found"), "k\(key)")
          }
          for other in 1...3 { try cluster.succeed("get", "test", "later\(other)", "--r", "3", through: node) }
        }
      }
    }
  }

  @Suite struct LocalCloneTests {
    @Test("a copy is not started beside the node itself: its ports are taken, and with other ones it is no member")
    func here() throws {
      try TestCluster.with("local-clone", settings: DeletePromise.settings) { cluster in
        let promise = DeletePromise(cluster: cluster)
        try promise.begin()
        let copy = "\(cluster.data)/copy"
        try FileTree.copy("\(cluster.data)/n3", to: copy)
        let words = cluster.nodeArguments(3).map { $0 == "\(cluster.data)/n3" ? copy : $0 }
        let same = try cairn(words)
        #expect(same.code == 1 && same.errors.contains(":\(cluster.httpPort(3)) is in use by another process"))
        let moved = try cairn(
          words.map {
            $0.replacing(":\(cluster.httpPort(3))", with: ":\(cluster.httpPort(9))")
              .replacing(":\(cluster.pbPort(3))", with: ":\(cluster.pbPort(9))")
              .replacing(":\(cluster.clusterPort(3))", with: ":\(cluster.clusterPort(9))")
          })
        #expect(moved.code == 1 && moved.errors.contains("\(copy) was created with another --initial-cluster"))
        try promise.deleteAndCollect(through: 3)
        try promise.holds()
      }
    }
  }
}

extension CutCluster {
  fileprivate func succeed(_ words: String..., through node: Int) throws {
    let result = try cairn(words + ["--url", url(node)], starter: network.entrance)
    #expect(result.code == 0, "\(words) through n\(node): \(result.errors)")
  }
}
