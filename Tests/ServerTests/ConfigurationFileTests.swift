import Platform
import Server
import Storage
import Testing

@Suite struct ConfigurationFileTests {
  @Test("a check tells every mistake of a file, with its line and the nearest key, in order")
  func mistakes() {
    let text = """
      # sync = nonsense
      sycn = always
      partitions = 48
      request_timeout = 5
      no assignment

      n_val = 3   # of three
      n_val = 2
      name = n7
      zzzzzzzz = 1
      initial_cluster = n1=10.0.0.1:8099,n2=10.0.0.2:8099
      """
    #expect(
      Configuration.mistakes(inFile: text, path: "f") == [
        "f line 2: there is no setting 'sycn'; did you mean 'sync'?",
        "f line 3: partitions = 48 is not a power of two; take 64, 128, 256, …",
        "f line 4: '5' is no value for 'request_timeout': it must be a duration from 1ms to 10m, like 200ms or 5s",
        "f line 5: 'no assignment' is not key=value",
        "f line 8: 'n_val' is set already in line 7",
        "f line 9: --name n7 is none of the nodes in --initial-cluster (n1, n2)",
        "f line 10: there is no setting 'zzzzzzzz'",
      ])
  }

  @Test("what a file leaves out is no mistake of it, and what a node would refuse is one")
  func asFarAsAFileCan() {
    let cluster = "initial_cluster = n1=10.0.0.1:8099\n"
    for text in ["", "\n\n", "# only\n", "name = n1\n", cluster, "name = n1\n" + cluster, "cluster = 10.0.0.9:1\n"] {
      #expect(Configuration.mistakes(inFile: text, path: "f") == [], "\(text)")
    }
    let wrong = Configuration.mistakes(inFile: "name = n1\n" + cluster + "cluster = 10.0.0.2:8099\n", path: "f")
    #expect(wrong.count == 1 && wrong[0].hasPrefix("f line 3: --cluster 10.0.0.2:8099 is not the address of n1"))
  }

  @Test("lines end as any editor ends them: nothing hides behind a comment", arguments: ["\n", "\r\n", "\r"])
  func lineEnds(end: String) throws {
    let text = ["# a comment", "sync = never", "", "n_val = 2 # two", "x = 1", ""].joined(separator: end)
    var configuration = Configuration()
    #expect(throws: ConfigurationError.unknownKey("x", nearest: nil, .file(path: "f", line: 5))) {
      try configuration.apply(file: text, path: "f")
    }
    #expect(configuration.sync == .never && configuration.replicas == 2)
    #expect(Configuration.mistakes(inFile: text, path: "f").count == 1)
  }

  @Test("a file of 1 MiB is read, one byte more is refused")
  func sizeMax() throws {
    let directory = try TemporaryDirectory()
    let path = directory.path + "/cairn.conf"
    try FileTree.write([UInt8](repeating: 0x0A, count: 1 << 20), to: path)
    #expect(try Configuration.read(path).utf8.count == 1 << 20)
    try FileTree.write([UInt8](repeating: 0x0A, count: 1 << 20 + 1), to: path)
    #expect(throws: ConfigurationError.self) { try Configuration.read(path) }
  }
}
