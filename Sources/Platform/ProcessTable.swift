import Glibc

// What the kernel says of processes under /proc. Processes come and go between two looks: whatever is gone, or not
// ours to see, is nil.

package enum ProcessTable {
  package struct Facts: Equatable, Sendable {
    package let name: String
    /// False for a zombie: ended, but not yet collected by its parent.
    package let isAlive: Bool
    package let startTicks: UInt64
    /// Memory in RAM, in bytes.
    package let residentBytes: Int
  }

  package static func facts(of pid: Int32) -> Facts? {
    guard let text = contents("/proc/\(pid)/stat") else { return nil }
    // The name stands in parentheses and may hold spaces and parentheses itself: fields count from the last one.
    guard let open = text.firstIndex(of: "("), let close = text.lastIndex(of: ")") else { return nil }
    let fields = text[text.index(after: close)...].split(separator: " ")
    guard fields.count > 21, let start = UInt64(fields[19]), let pages = Int(fields[21]) else { return nil }
    return Facts(
      name: String(text[text.index(after: open)..<close]),
      isAlive: fields[0] != "Z" && fields[0] != "X",
      startTicks: start,
      residentBytes: pages * Int(sysconf(Int32(_SC_PAGESIZE))))
  }

  /// The process that listens on a TCP port of this machine.
  package static func listener(onPort port: UInt16) -> (pid: Int32, name: String)? {
    let inodes = ["/proc/net/tcp", "/proc/net/tcp6"].flatMap { listeningInodes(in: contents($0) ?? "", port: port) }
    guard !inodes.isEmpty else { return nil }
    for pid in names(in: "/proc").compactMap(Int32.init) {
      for descriptor in names(in: "/proc/\(pid)/fd") {
        guard let target = linkTarget("/proc/\(pid)/fd/\(descriptor)") else { continue }
        if inodes.contains(where: { target == "socket:[\($0)]" }) { return (pid, facts(of: pid)?.name ?? "?") }
      }
    }
    return nil
  }

  /// Lines: `sl local:port remote:port st … uid timeout inode`, numbers in hexadecimal; state 0A listens.
  private static func listeningInodes(in table: String, port: UInt16) -> [Substring] {
    table.split(separator: "\n").dropFirst().compactMap { line in
      let fields = line.split(separator: " ")
      guard fields.count > 9, fields[3] == "0A", let colon = fields[1].lastIndex(of: ":"),
        UInt16(fields[1][fields[1].index(after: colon)...], radix: 16) == port
      else { return nil }
      return fields[9]
    }
  }

  private static func contents(_ path: String) -> String? {
    guard let bytes = try? readSmallFile(path, bytesMax: 16 << 20) else { return nil }
    return String(decoding: bytes, as: UTF8.self)
  }

  private static func names(in directory: String) -> [String] {
    var files = PosixFileSystem()
    return (try? files.list(directory)) ?? []
  }
}

/// Where a symbolic link points.
func linkTarget(_ path: String) -> String? {
  var buffer = [UInt8](repeating: 0, count: Int(PATH_MAX))
  let count = unsafe buffer.withUnsafeMutableBytes { target in
    unsafe readlink(path, target.baseAddress!.assumingMemoryBound(to: CChar.self), target.count)
  }
  return count > 0 ? String(decoding: buffer[..<count], as: UTF8.self) : nil
}
