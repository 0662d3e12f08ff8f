import Primitives

// What lies in a store's directory, without opening the store: the manifest, and of every data file where it stands
// with the manifest. Reads heads only and changes nothing; recovery decides by the same rules (Docs/Formats.md,
// "Opening a store").

/// One data file, before its records are read.
package struct DataFileFacts: Sendable {
  package enum Standing: Equatable, Sendable {
    /// The manifest lists it.
    case listed
    /// Listed, and not there.
    case absent
    /// Begun after the manifest was written: the next start takes it over.
    case young
    /// Neither listed nor young: the next start removes it.
    case leftover
    /// Its header never became whole, and nothing in it was ever durable: the next start removes it.
    case torn
    /// Of another life of this store: left alone.
    case otherLife
    /// Of another store, node or cluster: the node refuses to start with it.
    case foreign
    /// There is no manifest to ask.
    case unjudged
  }

  package let id: UInt32
  package let path: String
  /// 0 when it is absent.
  package let size: UInt64
  package let standing: Standing
  /// What the manifest says of it.
  package let entry: ManifestFile?
  /// Where the checksums of its records begin; nil when neither header nor manifest tells.
  package let salt: UInt32?
  /// Why its header does not read as it should.
  package let problem: StorageError?

  /// Bytes from the start that must read back as they were written.
  package var syncedLength: UInt64 { entry?.syncedLength ?? 0 }
  /// Its records count for the store.
  package var counts: Bool { [.listed, .young, .unjudged].contains(standing) }
}

package struct StoreContents: Sendable {
  package let directory: String
  package private(set) var manifest: StoreManifest?
  /// Why there is no manifest.
  package private(set) var manifestProblem: StorageError?
  /// By id.
  package private(set) var files: [DataFileFacts] = []
  /// Ids of hint files.
  package private(set) var hints: Set<UInt32> = []
  /// Names that are neither the manifest nor a data or hint file.
  package private(set) var otherNames: [String] = []

  /// - Throws: when the directory cannot be listed. What cannot be read in it is part of the value.
  package init<FS: FileSystem & ~Copyable>(reading directory: String, on files: inout FS) throws(StorageError) {
    self.directory = directory
    let names = try files.list(directory)
    readManifest(isThere: names.contains("manifest"), on: &files)
    var ids = Set(manifest?.files.map(\.id) ?? [])
    for name in names where name != "manifest" {
      if let id = StorePath.number(name, suffix: ".data") {
        ids.insert(id)
      } else if let id = StorePath.number(name, suffix: ".hint") {
        hints.insert(id)
      } else {
        otherNames.append(name)
      }
    }
    for id in ids.sorted() { self.files.append(facts(id, on: &files)) }
  }

  private mutating func readManifest<FS: FileSystem & ~Copyable>(isThere: Bool, on files: inout FS) {
    let path = StorePath.manifest(directory)
    guard isThere else {
      manifestProblem = .missing(path: path, reason: "without it the node takes the whole store for missing")
      return
    }
    do throws(StorageError) {
      manifest = try StoreManifest(decoding: try Engine.contents(of: path, on: &files), path: path)
    } catch {
      manifestProblem = error
    }
  }

  private func facts<FS: FileSystem & ~Copyable>(_ id: UInt32, on files: inout FS) -> DataFileFacts {
    let path = StorePath.data(directory, id)
    let entry = manifest?.files.first { $0.id == id }
    let expected = manifest.map {
      FileHeader(
        kind: .data, cluster: $0.cluster, node: $0.node, store: $0.store, file: id, identity: $0.incarnation)
    }
    var size: UInt64 = 0
    func facts(
      _ standing: DataFileFacts.Standing, _ salt: UInt32?, _ problem: StorageError? = nil
    ) -> DataFileFacts {
      DataFileFacts(id: id, path: path, size: size, standing: standing, entry: entry, salt: salt, problem: problem)
    }
    do throws(StorageError) {
      guard try files.exists(path) else { return facts(.absent, nil) }
      let file = try files.open(path, .read)
      defer { files.close(file) }
      size = try files.size(of: file)
      guard case .bytes(let bytes) = try files.read(file, at: 0, count: FileHeader.byteCount, mayBlock: true) else {
        throw .damaged(path: path, offset: 0, reason: "its header cannot be read")
      }
      let header = try FileHeader(decoding: bytes, kind: .data, path: path)
      return facts(standing(of: id, header, expected), header.salt)
    } catch {
      guard let manifest else { return facts(.unjudged, nil, error) }
      if entry == nil && id < manifest.nextFileID { return facts(.leftover, nil) }
      if case .damaged = error, (entry?.syncedLength ?? 0) == 0 { return facts(.torn, nil, error) }
      return facts(entry == nil ? .young : .listed, expected?.salt, error)
    }
  }

  private func standing(of id: UInt32, _ header: FileHeader, _ expected: FileHeader?) -> DataFileFacts.Standing {
    guard let manifest, let expected else { return .unjudged }
    let isListed = manifest.files.contains { $0.id == id }
    if !isListed && id < manifest.nextFileID { return .leftover }
    if header == expected { return isListed ? .listed : .young }
    var earlier = header
    earlier.identity = expected.identity
    return earlier == expected ? .otherLife : .foreign
  }
}
