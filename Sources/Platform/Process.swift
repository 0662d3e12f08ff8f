import Glibc

// Other processes: starting them, asking whether they still run, signalling them. A process id alone names nobody,
// because the system gives it out again; together with the time the process started it does.

/// A process, told from a later one that was given the same id.
package struct ProcessIdentity: Equatable, Sendable {
  package let pid: Int32
  /// Clock ticks between the start of the machine and that of the process.
  package let startTicks: UInt64
  package init(pid: Int32, startTicks: UInt64) {
    self.pid = pid
    self.startTicks = startTicks
  }

  /// The process that has this id now; nil when none has, or only the remains of one (a zombie).
  package init?(running pid: Int32) {
    guard let facts = ProcessTable.facts(of: pid), facts.isAlive else { return nil }
    self.init(pid: pid, startTicks: facts.startTicks)
  }

  package var isRunning: Bool { ProcessIdentity(running: pid) == self }

  /// Sends the signal if this very process still runs. - Returns: whether it did.
  @discardableResult
  package func signal(_ signal: ProcessSignal) -> Bool {
    guard isRunning else { return false }
    return Glibc.kill(pid, signal.number) == 0
  }
}

package enum ProcessSignal: Sendable {
  case terminate, interrupt, hangUp, kill, stop, proceed

  var number: Int32 {
    switch self {
    case .terminate: SIGTERM
    case .interrupt: SIGINT
    case .hangUp: SIGHUP
    case .kill: SIGKILL
    case .stop: SIGSTOP
    case .proceed: SIGCONT
    }
  }
}

/// How a child of this process ended.
package enum ProcessEnd: Equatable, Sendable {
  case exited(Int32)
  case signalled(Int32)
}

/// Where a new process reads and writes, and whether it leaves the terminal of its parent.
package struct ProcessSetting: Sendable {
  package var inputPath = "/dev/null"
  /// Created when missing, appended to otherwise.
  package var outputPath = "/dev/null"
  package var errorPath = "/dev/null"
  /// Its own session: neither a closed terminal nor ctrl-C there reaches it.
  package var ownSession = false
  /// `NAME=value`, added in front of this process's environment.
  package var environment: [String] = []
  package init() {}
}

/// Starts `executable` with `arguments` (without its own name); no signal is blocked
/// or ignored in it, and no descriptor but the three standard ones is handed on: an inherited lock (that of a build
/// tool, say) would outlive whoever took it.
package func spawn(
  _ executable: String, _ arguments: [String], _ setting: ProcessSetting
) throws(Errno) -> ProcessIdentity {
  var actions = unsafe posix_spawn_file_actions_t()
  unsafe posix_spawn_file_actions_init(&actions)
  defer { unsafe posix_spawn_file_actions_destroy(&actions) }
  let write = O_WRONLY | O_CREAT | O_APPEND
  unsafe posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, setting.inputPath, O_RDONLY, 0)
  unsafe posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, setting.outputPath, write, 0o644)
  if setting.errorPath == setting.outputPath {
    unsafe posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO)
  } else {
    unsafe posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, setting.errorPath, write, 0o644)
  }

  var attributes = posix_spawnattr_t()
  unsafe posix_spawnattr_init(&attributes)
  defer { unsafe posix_spawnattr_destroy(&attributes) }
  var none = sigset_t()
  unsafe sigemptyset(&none)
  var all = sigset_t()
  unsafe sigfillset(&all)
  unsafe posix_spawnattr_setsigmask(&attributes, &none)
  unsafe posix_spawnattr_setsigdefault(&attributes, &all)
  let flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | (setting.ownSession ? spawnInOwnSession : 0)
  unsafe posix_spawnattr_setflags(&attributes, Int16(flags))

  keepDescriptorsToOurselves()
  var words = unsafe ([executable] + arguments).map { unsafe strdup($0) } + [nil]
  defer { for index in unsafe words.indices { unsafe free(words[index]) } }
  var pid: pid_t = 0
  var environment = unsafe setting.environment.map { unsafe strdup($0) }
  defer { for index in 0..<setting.environment.count { unsafe free(environment[index]) } }
  var inherited = unsafe environ
  while let variable = unsafe inherited.pointee {
    unsafe environment.append(variable)
    unsafe inherited += 1
  }
  unsafe environment.append(nil)
  let code = unsafe posix_spawn(&pid, executable, &actions, &attributes, &words, &environment)
  guard code == 0 else { throw Errno(code) }
  return ProcessIdentity(pid: pid, startTicks: ProcessTable.facts(of: pid)?.startTicks ?? 0)
}

/// POSIX_SPAWN_SETSID of glibc 2.26 and later.
private let spawnInOwnSession: Int32 = 0x80

/// Marks every descriptor but the standard ones as not to be inherited.
private func keepDescriptorsToOurselves() {
  for number in ((try? FileTree.names(in: "/proc/self/fd")) ?? []).compactMap(Int32.init) where number > STDERR_FILENO {
    _ = fcntl(number, F_SETFD, FD_CLOEXEC)
  }
}

/// How the child ended, or nil while it runs. A child is reported once; afterwards, and for a process that is not a
/// child, the answer is `.exited(-1)`.
package func endOfChild(_ pid: Int32, wait: Bool) -> ProcessEnd? {
  var status: Int32 = 0
  while true {
    let result = unsafe waitpid(pid, &status, wait ? 0 : WNOHANG)
    if result == 0 { return nil }
    if result == pid { break }
    if errno != EINTR { return .exited(-1) }
  }
  return status & 0x7F == 0 ? .exited(status >> 8 & 0xFF) : .signalled(status & 0x7F)
}

/// Lets time pass, or less of it when a signal comes: between two looks at another process, never to wait for one of our own threads.
package func pause(milliseconds: Int) {
  var time = timespec(tv_sec: milliseconds / 1000, tv_nsec: milliseconds % 1000 * 1_000_000)
  unsafe nanosleep(&time, nil)
}
