import Platform
import Primitives
import Protocols
import Storage

// What a backup is: a directory with a directory for each node, and the file `backup.json`, which names every file with
// its length and checksum. It is written last, when everything else is on the disk: a directory without it is no backup,
// however much is in it.
//
//     backup.json              two lines of JSON: what it is and the checksum of the second line, then the second line
//     node-1/node, promises, snapshot
//     node-1/stores/p042-n3/manifest, 000001.data …
//     node-1/stores/hints-2/…  from a moment before that of all partitions

struct BackupManifest: Equatable {
  static let version = 1
  static let name = "backup.json"
  static let bytesMax = 256 << 20

  struct Node: Equatable {
    let name: String
    let id: Int
    /// Where it is in the backup.
    var directory: String { "node-\(id)" }
  }

  struct File: Equatable {
    /// From the backup's directory on.
    let path: String
    let bytes: UInt64
    /// Of all of it (`BackupDigest`).
    let digest: UInt64
  }

  /// Of the program that made it.
  var release: String
  var clusterID: String
  var partitions: Int
  var replicas: Int
  /// When it began, before anything was asked of a node: what was acknowledged then is in it. By the clock of this
  /// machine.
  var began: String
  var ended: String
  /// Members that it was made without.
  var without: [String]
  var nodes: [Node]
  var files: [File]

  var bytes: UInt64 { files.reduce(0) { $0 + $1.bytes } }

  /// So many nodes may be left out: a write that was acknowledged by a quorum is on one of the others as well.
  var missingMax: Int { BackupManifest.missingMax(replicas: replicas) }
  static func missingMax(replicas: Int) -> Int { replicas / 2 }

  // MARK: As a file

  private var json: JSON {
    .object([
      "release": .string(release), "cluster_id": .string(clusterID), "partitions": .count(partitions),
      "n_val": .count(replicas), "began": .string(began), "ended": .string(ended),
      "without": .array(without.map { .string($0) }),
      "nodes": .array(nodes.map { .object(["name": .string($0.name), "id": .integer($0.id)]) }),
      "files": .array(
        files.map { file in
          .object([
            "path": .string(file.path), "bytes": .count(file.bytes), "digest": .string(hexadecimal(file.digest)),
          ])
        }),
    ])
  }

  func encoded() -> [UInt8] {
    let body = json.bytes
    let head = JSON.object(["cairn_backup": .integer(Self.version), "crc32c": .count(crc32c(body))])
    return head.bytes + [0x0A] + body + [0x0A]
  }

  /// - Throws: `Failure` when these are not the bytes of a manifest, saying what they are of `path`.
  init(decoding bytes: [UInt8], path: String) throws(Failure) {
    let lines = bytes.split(separator: 0x0A, maxSplits: 1)
    guard let head = lines.first.flatMap({ try? JSON.parse(Array($0)) }), let version = head["cairn_backup"]?.integer
    else { throw Failure("\(path) is damaged, or no manifest of a backup") }
    guard version == Self.version else {
      throw Failure(
        "\(path) is of version \(version), and this release reads \(Self.version): use the one that made it")
    }
    let body = lines.count > 1 ? Array(lines[1].dropLast()) : []
    guard lines.count > 1, lines[1].last == 0x0A, head["crc32c"]?.integer == Int(crc32c(body)),
      let json = try? JSON.parse(body)
    else { throw Failure("\(path) is damaged: its checksum does not match") }
    guard let manifest = BackupManifest(json) else { throw Failure("\(path) lacks what the manifest of a backup has") }
    if let problem = manifest.problem { throw Failure("\(path) is no manifest that cairn backup writes: \(problem)") }
    self = manifest
  }

  private init?(_ json: JSON) {
    guard let release = json["release"]?.string, let clusterID = json["cluster_id"]?.string,
      let partitions = json["partitions"]?.integer, let replicas = json["n_val"]?.integer,
      let began = json["began"]?.string, let ended = json["ended"]?.string, let without = json["without"]?.array,
      let nodes = json["nodes"]?.array, let files = json["files"]?.array
    else { return nil }
    self.release = release
    self.clusterID = clusterID
    self.partitions = partitions
    self.replicas = replicas
    self.began = began
    self.ended = ended
    self.without = without.compactMap(\.string)
    self.nodes = nodes.compactMap { node in
      guard let name = node["name"]?.string, let id = node["id"]?.integer else { return nil }
      return Node(name: name, id: id)
    }
    self.files = files.compactMap { file in
      guard let path = file["path"]?.string,
        let bytes = file["bytes"]?.integer.flatMap({ UInt64(exactly: $0) }),
        let digest = file["digest"]?.string.flatMap({ UInt64($0, radix: 16) })
      else { return nil }
      return File(path: path, bytes: bytes, digest: digest)
    }
    guard self.nodes.count == nodes.count, self.files.count == files.count, self.without.count == without.count else {
      return nil
    }
  }

  init(
    clusterID: String, partitions: Int, replicas: Int, began: String, without: [String], nodes: [Node], release: String
  ) {
    self.release = release
    self.clusterID = clusterID
    self.partitions = partitions
    self.replicas = replicas
    self.began = began
    ended = began
    self.without = without
    self.nodes = nodes
    files = []
  }

  // MARK: On disk

  /// - Throws: `Failure` when there is none, or it does not read back: then the directory is no backup.
  static func load(_ directory: String) throws(Failure) -> BackupManifest {
    let path = "\(directory)/\(name)"
    let bytes: [UInt8]
    do throws(Errno) {
      bytes = try FileTree.read(path, bytesMax: bytesMax)
    } catch .noSuchFile {
      guard FileTree.exists(directory) else { throw Failure("there is no directory \(directory)") }
      throw Failure(
        "\(directory) holds no whole backup: \(name) is not there, which is written last. If a backup into it was cut "
          + "off, remove the directory and make another")
    } catch {
      throw Failure("cannot read \(path): \(error)")
    }
    return try BackupManifest(decoding: bytes, path: path)
  }

  func save(_ directory: String) throws(Failure) {
    let path = "\(directory)/\(Self.name)"
    do throws(Errno) {
      try FileTree.replace(path, with: encoded())
    } catch {
      throw Failure("cannot write \(path): \(error)")
    }
  }
}

/// The checksum of a file of any length: the keyed hash of each mebibyte, under that of those before. Not a CRC: most
/// files here end with their own, and all those have the same CRC, so that one would pass for another.
struct BackupDigest {
  static let pieceBytes = 1 << 20
  private var pending: [UInt8] = []
  private var state: UInt64 = 0

  mutating func add(_ bytes: ArraySlice<UInt8>) {
    var rest = bytes
    while !rest.isEmpty {
      let taken = rest.prefix(Self.pieceBytes - pending.count)
      pending += taken
      rest = rest.dropFirst(taken.count)
      if pending.count == Self.pieceBytes { fold() }
    }
  }

  private mutating func fold() {
    state = RingHash(seed: state)(pending)
    pending.removeAll(keepingCapacity: true)
  }

  /// Of everything that was added.
  var value: UInt64 { RingHash(seed: state)(pending) }
}
