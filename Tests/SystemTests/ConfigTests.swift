import Platform
import Testing

extension SystemTests {
  @Suite struct ConfigTests {
    @Test("cairn config check says what is wrong with a file and exits 1; the sample has nothing wrong")
    func check() throws {
      let directory = try ScratchDirectory("config")
      let path = directory.path + "/cairn.conf"
      try FileTree.write(Array("sync = always\nmax_filesize = 1GiB\nn_val = many\n".utf8), to: path)
      let wrong = try cairn("config", "check", path)
      #expect(wrong.code == 1 && wrong.output == [])
      let lines = wrong.errors.split(separator: "\n")
      #expect(lines.count == 2)
      #expect(lines.first == "\(path) line 2: there is no setting 'max_filesize'; did you mean 'max_file_size'?")
      #expect(lines.last == "\(path) line 3: 'many' is no value for 'n_val': it must be a number from 1 to 16")

      let sample = try cairn("config", "sample")
      #expect(sample.code == 0)
      try FileTree.write(sample.output, to: path)
      let right = try cairn("config", "check", path)
      #expect(right.code == 0 && right.outputText == "\(path): no mistakes\n" && right.errors == "")

      let missing = try cairn("config", "check", path + ".no")
      #expect(missing.code == 1 && missing.errors.hasPrefix("cairn: cannot read \(path).no: "))
      #expect(try cairn("config", "check").code == 2)
      #expect(try cairn("config", "check", path, path).code == 2)
      #expect(try cairn("config", "docs", "x").code == 2)
      #expect(try cairn("config", "docs").outputText.hasPrefix("# Configuration\n"))
    }

    @Test("cairn ready exits 0 when every node that is asked serves, else 1 and says which does not")
    func ready() throws {
      try TestCluster.with("ready") { cluster in
        let one = ["--url", cluster.url(1)]
        let two = ["--url", cluster.url(2)]
        let both = try cairn(["ready"] + one + two)
        #expect(both.code == 0 && both.outputText == "ready\n" && both.errors == "")
        try cluster.local("kill", "2")
        let half = try cairn(["ready"] + one + two)
        #expect(half.code == 1 && half.output == [])
        #expect(half.errors.contains(cluster.url(2)) && !half.errors.contains(cluster.url(1)))
        #expect(try cairn(["ready"] + one).code == 0)
        #expect(try cairn("ready", "now").code == 2)
      }
    }

    @Test("cairn ready says that a node which waits for its cluster does not serve")
    func notReady() throws {
      let directory = try ScratchDirectory("not-ready")
      let base = try Ports.base()
      let members = "n1=127.0.0.1:\(base + 16),n2=127.0.0.1:\(base + 26)"
      let node = try RunningCommand(
        [
          "node", "--name", "n1", "--data", directory.path + "/n1", "--http", "127.0.0.1:\(base + 18)", "--cluster",
          "127.0.0.1:\(base + 16)", "--initial-cluster", members, "--set", "n_val=2",
        ], name: "not-ready")
      let url = "http://127.0.0.1:\(base + 18)"
      try eventually("the node answers") {
        let answer = try cairn("ready", "--url", url)
        #expect(answer.code == 1)
        return answer.errors.contains("does not serve: starting: ")
      }
      node.identity.signal(.terminate)
      #expect(try node.finish().code == 0)
    }
  }
}
