import Platform
import Replication
import Server
import Storage
import Testing

struct ConfigurationTests {
  private static let identity = [
    "--name", "n1", "--data", "d", "--http", "127.0.0.1:1", "--cluster", "127.0.0.1:2", "--initial-cluster",
    "n1=127.0.0.1:2,n2=127.0.0.1:3",
  ]

  @Test("flags win over --set, --set over the file, the file over defaults, in any order")
  func precedence() throws {
    let directory = try TemporaryDirectory()
    let path = directory.path + "/cairn.conf"
    let text = """
      # a comment
      name = fromfile   # another
      sync = never

      sync_interval = 250ms
      request_timeout = 7s
      """
    try FileTree.write(Array(text.utf8), to: path)
    let configuration = try Configuration(
      arguments: ["--name=n9", "--set", "request_timeout=2m", "--set", "sync=interval", "--config", path])
    #expect(configuration.name == "n9")
    #expect(configuration.sync == .interval)
    #expect(configuration.syncIntervalMilliseconds == 250)
    #expect(configuration.requestTimeoutMilliseconds == 120_000)
    #expect(configuration.source(of: "name") == .flag("--name"))
    #expect(configuration.source(of: "sync") == .set)
    #expect(configuration.source(of: "sync_interval") == .file(path: path, line: 5))
    #expect(configuration.source(of: "n_val") == .default)
  }

  @Test("a key that does not exist is refused with the nearest one that does")
  func unknownKey() {
    #expect(throws: ConfigurationError.unknownKey("sync_intervall", nearest: "sync_interval", .set)) {
      try Configuration(arguments: ["--set", "sync_intervall=1s"])
    }
    #expect(throws: ConfigurationError.unknownKey("zzzzzzzz", nearest: nil, .set)) {
      try Configuration(arguments: ["--set", "zzzzzzzz=1"])
    }
    #expect(throws: ConfigurationError.unknownFlag("--nam", nearest: "--name")) {
      try Configuration(arguments: ["--nam", "n1"])
    }
  }

  @Test(
    "a value that means nothing is refused and changes nothing",
    arguments: [
      "sync=often", "sync_interval=1", "sync_interval=-1s", "sync_interval=s", "sync_interval=99999999999999999999s",
      "request_timeout=0s", "max_file_size=1", "max_file_size=1TB", "max_file_size=1073741825", "n_val=0", "n_val=x",
      "partitions=0",
      "admin_remote=yes", "log_level=loud", "clock_offset=--1s", "http=nowhere:1", "initial_cluster=n1",
      "operations_max=0",
    ])
  func malformed(assignment: String) {
    do throws(ConfigurationError) {
      _ = try Configuration(arguments: ["--set", assignment])
      Issue.record("\(assignment) was taken")
    } catch {
      guard case .malformed(let key, let value, _, .set) = error else {
        Issue.record("\(error)")
        return
      }
      #expect("\(key)=\(value)" == assignment)
      #expect(!"\(error)".contains("\n"))
    }
  }

  @Test("the longest data file that can be configured is the longest that the engine makes")
  func longestFile() throws {
    let configuration = try Configuration(arguments: ["--set", "max_file_size=1GiB"])
    #expect(configuration.fileBytesMax == StorageLimits.fileBytesMax)
  }

  @Test("every default is a value that its own key reads back as the same")
  func defaultsRoundTrip() throws {
    for key in Configuration.keys where !key.defaultText.isEmpty {
      var configuration = Configuration()
      try configuration.set(key.name, to: key.defaultText, from: .set)
      let shown = configuration.settings().first { $0.key.name == key.name }
      #expect(shown?.value == key.defaultText)
      #expect(shown?.source == "--set")
    }
  }

  @Test(
    "intervals that 0 turns off take 0 and their range, and nothing between or beyond",
    arguments: [
      ("anti_entropy_interval", ["0", "0s", "100ms", "5m", "30d"], ["99ms", "1ms", "31d", "-1s", "5", ""]),
      ("scrub_interval", ["0", "0ms", "1s", "7d", "365d"], ["999ms", "366d", "off"]),
    ])
  func intervals(name: String, taken: [String], refused: [String]) throws {
    for value in taken { _ = try Configuration(arguments: ["--set", "\(name)=\(value)"]) }
    for value in refused {
      #expect(throws: ConfigurationError.self, "\(value)") {
        try Configuration(arguments: ["--set", "\(name)=\(value)"])
      }
    }
    let off = try Configuration(arguments: ["--set", "\(name)=0"])
    #expect(off.settings().first { $0.key.name == name }?.value == "0s")
  }

  @Test("what is configured of anti-entropy and the scrub reaches the node, and the defaults are the node's own")
  func antiEntropy() throws {
    let values = ["anti_entropy_interval=2s", "pull_rate=1KiB", "scrub_interval=0", "scrub_rate=4GiB"]
    let options = try Configuration(arguments: values.flatMap { ["--set", $0] }).nodeOptions(seed: 1)
    #expect(options.antiEntropyMilliseconds == 2000 && options.pullBytesPerSecond == 1024)
    #expect(options.scrubMilliseconds == 0 && options.scrubBytesPerSecond == 4 << 30)
    let own = NodeOptions(name: "n1", members: [], directory: "", seed: 1)
    let defaults = Configuration().nodeOptions(seed: 1)
    #expect(defaults.antiEntropyMilliseconds == own.antiEntropyMilliseconds)
    #expect(defaults.pullBytesPerSecond == own.pullBytesPerSecond)
    #expect(defaults.scrubMilliseconds == own.scrubMilliseconds)
    #expect(defaults.scrubBytesPerSecond == own.scrubBytesPerSecond)
    for value in ["pull_rate=1023", "pull_rate=5GiB", "scrub_rate=0", "scrub_rate=4097MiB"] {
      #expect(throws: ConfigurationError.self, "\(value)") { try Configuration(arguments: ["--set", value]) }
    }
  }

  @Test("names of settings are distinct")
  func distinctNames() {
    #expect(Set(Configuration.keys.map(\.name)).count == Configuration.keys.count)
  }

  @Test("negative clock offsets are read and shown")
  func clockOffset() throws {
    let configuration = try Configuration(arguments: ["--set", "clock_offset=-90s"])
    #expect(configuration.clockOffsetMilliseconds == -90_000)
    #expect(configuration.settings().first { $0.key.name == "clock_offset" }?.value == "-90s")
  }

  @Test("mistakes in the shape of arguments and files are told")
  func shape() throws {
    #expect(throws: ConfigurationError.missingValue(flag: "--name")) { try Configuration(arguments: ["--name"]) }
    #expect(throws: ConfigurationError.noAssignment("sync", .set)) { try Configuration(arguments: ["--set", "sync"]) }
    var configuration = Configuration()
    #expect(throws: ConfigurationError.noAssignment("hm", .file(path: "f", line: 2))) {
      try configuration.apply(file: "\nhm\n", path: "f")
    }
    do throws(ConfigurationError) {
      _ = try Configuration(arguments: ["--config", "/nonexistent/cairn.conf"])
      Issue.record("a missing file was read")
    } catch {
      guard case .unreadable(path: "/nonexistent/cairn.conf", _) = error else {
        Issue.record("\(error)")
        return
      }
    }
  }

  @Test("a file that sets a key twice is refused with both lines; from elsewhere the last one counts")
  func setTwice() throws {
    var configuration = Configuration()
    #expect(throws: ConfigurationError.setTwice("sync", firstLine: 2, .file(path: "f", line: 4))) {
      try configuration.apply(file: "# sync = x\nsync = never\nn_val = 2\n sync=never\n", path: "f")
    }
    let error = ConfigurationError.setTwice("sync", firstLine: 2, .file(path: "f", line: 4))
    #expect("\(error)" == "f line 4: 'sync' is set already in line 2")
    #expect(try Configuration(arguments: ["--set", "n_val=2", "--set", "n_val=1"]).replicas == 1)
  }

  @Test("a node listens to its peers where the initial cluster says it does, or on every address of its machine")
  func ownAddress() throws {
    func check(_ cluster: String, _ initialCluster: String = "n1=127.0.0.1:2,n2=127.0.0.1:3")
      throws(ConfigurationError)
    {
      try Configuration(arguments: Self.identity + ["--cluster", cluster, "--initial-cluster", initialCluster])
        .validate()
    }
    for cluster in ["127.0.0.1:3", "127.0.0.1:4", "127.0.0.2:2", "[::1]:2", "0.0.0.0:3"] {
      let expected = ConfigurationError.otherAddress(name: "n1", cluster: cluster, initialCluster: "127.0.0.1:2")
      #expect(throws: expected) { try check(cluster) }
      #expect("\(expected)".contains(cluster) && "\(expected)".contains(" 127.0.0.1:2"))
    }
    #expect(throws: ConfigurationError.otherAddress(name: "n1", cluster: "127.0.0.1:2", initialCluster: "host:2")) {
      try check("127.0.0.1:2", "n1=host:2")
    }
    try check("localhost:2")
    try check("127.0.0.1:2", "n1=localhost:2")
    try check("0.0.0.0:2")
    try check("[::]:2")
  }

  @Test("a node needs an identity, and is one of the cluster")
  func validation() throws {
    try Configuration(arguments: Self.identity).validate()
    for place in stride(from: 0, to: Self.identity.count, by: 2) {
      var arguments = Self.identity
      arguments.removeSubrange(place..<place + 2)
      let configuration = try Configuration(arguments: arguments)
      do throws(ConfigurationError) {
        try configuration.validate()
        Issue.record("valid without \(Self.identity[place])")
      } catch {
        guard case .missing(flag: Self.identity[place], _) = error else {
          Issue.record("\(error)")
          return
        }
      }
    }
    #expect(throws: ConfigurationError.notAMember(name: "n7", members: ["n1", "n2"])) {
      try Configuration(arguments: Self.identity + ["--name", "n7"]).validate()
    }
    #expect(throws: ConfigurationError.notAPowerOfTwo(48)) {
      try Configuration(arguments: Self.identity + ["--set", "partitions=48"]).validate()
    }
  }
}
