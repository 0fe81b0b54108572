/**
 * Every bound of ufes, each with the reason for its value. Relations between bounds are asserted at the end, at import.
 * Units last in names. Grouped by room.
 */
export const limits = {
  config: {
    /** A configuration is written by people; larger is a mistake or an attack. */
    fileBytes: 4 << 20,
    /** Lexemes of YAML in one file: six a line, for as many prefixes as fit into it. */
    yamlPieces: 1_500_000,
    /** Far deeper than any schema of ours; the reader's stack is not unlimited. */
    yamlDepth: 200,
    /** Nobody mends more at once. */
    yamlErrors: 100,
    /** Each is looked up among all anchors. */
    yamlAliases: 2_000,
    /** A PoP is one byte in rankings; 255 means "none". */
    pops: 254,
    /** In one list of clients: every /24 that one country has. Rules for more belong into measurements. */
    prefixes: 500_000,
    /** Looked at one by one for each connection or request; load balancers stand in few networks. */
    trustedProxies: 256,
  },
  store: {
    /** Artefacts kept per kind: enough to step back over a bad afternoon. */
    artefactsKept: 50,
    artefactBytes: 512 << 20,
    /** Publishers of one kind that meet: each collision means that another one got in, so a few are enough. */
    publishAttempts: 10,
    /** Wait for another process's write transaction before STORE_UNAVAILABLE. */
    busyMs: 2_000,
    /** Readers look for news at least this often: a lost wake-up costs no more. */
    pollMs: 500,
    secretBytes: 1 << 20,
    /** SQLite's own wait holds the event loop, so it is short; we try again between turns until `busyMs`. */
    busySliceMs: 5,
    /** A store that vanished is made anew only after this: whoever removes it removes several files. */
    recreateMs: 250,
    /** How long `applied/NODE/KIND` holds; told again in a third of it. */
    appliedMs: 15_000,
    /** Audit entries kept. */
    auditEntries: 100_000,
  },
  redis: {
    /** A call settles within this: what takes longer is an outage, and callers try again. */
    callMs: 2_000,
    /** A connection on which nobody had an answer for so long is left for a new one; so is one that does not get to use. */
    silentMs: 5_000,
    /** A round trip to anywhere, with TLS, and a lost packet at its start. */
    connectMs: 3_000,
    /** Pause between tries to connect, doubling up to this: who waits for the store hears of it no later. */
    retryMs: 500,
    /** Settings and roles change: looked at again this often, and every `lookMs` while it is refused. */
    examineMs: 30_000,
    lookMs: 1_000,
    /** Clocks that differ by more make expiries wrong: votes of a second count too long, or not at all. */
    clockMs: 1_000,
    /** Pieces of artefacts, so that nothing waits long behind one, and the rows of evidence read in one step. */
    pieceBytes: 1 << 20,
    scanRows: 5_000,
    /** An upload that was not finished is gone after this. */
    uploadMs: 120_000,
    /** A subscription that does not answer for this long is opened again; polls cover for it. */
    pingMs: 5_000,
  },
  admin: {
    /** sun_path holds 107 bytes and a NUL on Linux, 103 on macOS. */
    socketPathBytes: 100,
    bodyBytes: 4 << 20,
    timeoutMs: 2_000,
  },
  keys: {
    /** Nodes look for new keys this often: far less than the hour for which old ones are believed at least. */
    pollMs: 60_000,
    /** The job that changes keys looks this often; where none came for `graceMs`, a node changes them. */
    jobMs: 15 * 60_000,
    graceMs: 60 * 60_000,
    leaseMs: 10_000,
  },
  queue: {
    /** Records waiting per shard and collector before QUEUE_FULL: about a minute at 10 k samples a second. */
    streamRecords: 600_000,
    jobAttempts: 5,
    /** First retry of a failed job; doubles up to the maximum. */
    jobRetryMs: 1_000,
    jobRetryMsMax: 60_000,
    /** A running job that is not renewed for this long belonged to a killed worker and runs again. */
    jobVisibleMs: 10_000,
    /** Dead jobs of a name; the oldest go first. What fails that often has one cause, and the newest tell it. */
    deadJobs: 1_000,
    /** Why an attempt failed, as text. */
    reasonChars: 2_000,
    /** Jobs shown at once. */
    jobsShown: 1_000,
  },
  geoip: {
    /** One mmdb or CSV. Node reads no file of 2 GiB whole; the largest city databases sold are about 1 GB. */
    sourceBytes: 2 ** 31 - 1,
    /** Values in one data record. MaxMind's fullest have about 150; a corrupt one must not read for ever. */
    recordValues: 4_096,
    recordDepth: 12,
    /** Decoded values kept by position while compiling: most records share keys, names and countries. */
    recordCache: 2_000_000,
    /** Looks at the source files for a new edition. They are published daily at most. */
    pollMs: 5_000,
    /** The compiling process touches its lock every second; silent for this long, it is gone. */
    lockStaleMs: 15_000,
    lockPollMs: 200,
    /** A database of 1 GB at 2 MB a second. */
    fetchMs: 600_000,
  },
  evidence: {
    /** Shards by prefix hash. More than mappers that will ever share the work, few enough to lease one by one. */
    shards: 16,
    /** Records folded in one transaction. */
    foldRecords: 5_000,
    /** Folded side by side: one's transaction travels while another's is made. */
    shardsAtOnce: 3,
    /** A mapper that died leaves its shards after this long; renewed at a third of it, a small write a shard. */
    leaseMs: 5_000,
    /** A sample of the future says that a collector's clock is wrong: it would age all others at once. */
    futureMs: 60_000,
    /** Used tokens are remembered beyond their expiry, and for longer while a collector has not passed it. */
    tokenGraceMs: 60_000,
    /** Clocks are set, and records come into a journal a little out of order: a collector has passed a time so much later. */
    passedMarginMs: 30_000,
    /** A collector that said nothing for so long holds no tokens: at a thousand beacons a second they would be 4 million. */
    silentMs: 3_600_000,
    /** Another mapper's shard is read again after so many times what that took last: a tenth of a core at most. */
    followFactor: 10,
    /** Prefixes with evidence: all /24s that are routed, ten times over what one service sees. Further ones are set aside. */
    prefixes: 2_000_000,
    /** Records set aside that `/state` shows. */
    rejectedKept: 50,
  },
  history: {
    /** The past that can be explained. */
    keptMs: 7 * 86_400_000,
    /** A whole version is kept at least this often; those after it are kept as what changed, so it must outlive them. */
    wholeMs: 86_400_000,
    /** Changes in a row before one against the last whole version: a version of the past is had in so many steps at most. */
    chain: 64,
    /** Of one artefact's versions, packed: a map of 10,000 prefixes changes by some kilobytes, 40,000 times in 7 days. */
    versionBytes: 1 << 30,
    /** Of judgements: half a kilobyte each. */
    publishBytes: 64 << 20,
    /** Of one dns node's live state: nothing while nothing changes, some kilobytes a minute while a PoP is full. */
    liveBytes: 256 << 20,
    /** Changes of live state reach the store this late, together. */
    liveMs: 2_000,
    /** Every so many, one holds the whole live state; a reader goes back no further than `liveRows` for it. */
    liveWholeEvery: 64,
    liveRows: 256,
    /** What does not change is noted again: nobody has to look further back to know that nothing was lost. */
    liveAgainMs: 3_600_000,
    /** Changes that wait for a store that is gone; then the oldest go, and the journal has a gap. */
    liveWaiting: 100_000,
    /** Past the journal's own delay, before it is asked about a time just gone. */
    pastMarginMs: 500,
    /** Questions about the past at once; the thread that answers them, and the map it holds, goes when nobody asks. */
    pastWaiting: 20,
    pastIdleMs: 30_000,
    /** A large map of then is found, unpacked and read in this time. */
    pastMs: 60_000,
    /** Loads are for explaining alone: noted this often, when they changed by so much. */
    loadMs: 30_000,
    loadPerMille: 20,
  },
  mapper: {
    /** Resolver and client of a probe ID wait so long for each other: a TTL, a slow page, and what dns and edges tell late. */
    joinMs: 10 * 60_000,
    /** Told at full rate by 30 PoPs for as long: 200 bytes each. */
    joinIds: 200_000,
    /** Resolvers whose clients are known; the one not heard of for longest goes. */
    resolvers: 20_000,
    /** Prefixes of a resolver; one that has more serves everybody. */
    clientsOfResolver: 64,
    /** A resolver that nobody was seen to use for a week is forgotten. */
    populationMs: 7 * 86_400_000,
    populationLeaseMs: 30_000,
    /** From changed evidence to the build: a burst of beacons makes one map. */
    debounceMs: 120,
    /** Between builds, and as a multiple of the last one's duration: a constant trickle costs a fifth of a core. */
    spacingMs: 250,
    spacingFactor: 4,
    /** Estimates that change no ranking are published this often at most. */
    estimatesMs: 15_000,
    /** Time alone moves estimates (decay, the last quarter of an hour): everything is looked at again. */
    wholeMs: 60_000,
    /** A job sees that maps can be built, so that operators hear of it when they cannot. */
    buildJobMs: 5 * 60_000,
    /** The current hour's roll-up is taken anew; hours are kept for a month, one is some 20 kB of countries and PoPs. */
    rollupJobMs: 10 * 60_000,
    rollupKeptMs: 31 * 86_400_000,
    rollupBytes: 32 << 20,
    /** Prefixes summed up between two turns of the event loop. */
    rollupStride: 2_000,
    /** Pairs of country and PoP in an hour; those with most samples. */
    rollupPairs: 1_000,
    /** While a PoP is over its hard limit, maps are built this often at least. */
    overloadMs: 5_000,
    /** Cells whose requests are counted; further ones are not. */
    trafficCells: 2_000_000,
    /** Edge-timed samples of a PoP that are kept to see whether it became slow: more cells than that say no more. */
    recentSamples: 2_048,
    /** Tries to reach a PoP, some 17 bytes each, that are kept to see whether networks reach it: 5 minutes of 27 a second. */
    recentTries: 8_192,
    /** Prefixes compared for the dashboard: 5,000 give a p99 within 0.3 percentage points. */
    compared: 5_000,
    prefixesShown: 10_000,
    /** Prefixes in quarantine, and disputed ones, that are listed; all are counted. */
    doubtsShown: 1_000,
    /** Long answers are made in slices of this, between turns of the event loop. */
    sliceMs: 3,
    /** Comparisons for the dashboard are made this often at most, and kept for this many services. */
    answerMs: 1_000,
    services: 100,
  },
  publish: {
    /** Of demand, in any so long a time: discretionary moves. */
    windowShare: 0.05,
    windowMs: 10 * 60_000,
    /** First estimates: that share, or so many cells, in this time. They only gain, but caches at their PoPs are cold. */
    firstMs: 15_000,
    firstUnits: 100,
    /** Of demand away from estimates in service: more at once is rather a fault of ours than news of the network. */
    holdShare: 0.25,
    /** What comes back to a PoP this long after it was to be left is no reason to hold: at 5% in 10 minutes, 60% of demand. */
    backMs: 2 * 3_600_000,
    /** Of the hard limit, what a PoP may be filled to by moves that need not be: what is known of demand is an average. */
    roomShare: 0.985,
    /** And by those that must be: the last of it covers what demand grows by until the next telling of it. */
    exemptRoomShare: 0.99,
    /** Who was sent to a PoP is there after a TTL, and counted in its load after this. */
    tellMs: 15_000,
    /** Of the cost of a cell, by raw samples. */
    worseMs: 25,
    /** Of what would move: where more than this is worse, the rest is not to be trusted either. */
    worseShare: 0.1,
    /** Raw samples of a cell to a PoP that say anything: with fewer the bound of a p25 is open above. */
    rawN: 13,
    rawMs: 15 * 60_000,
    /** 21 bytes each: a quarter of an hour of 2,000 observations a second. Beyond, the window is shorter. */
    rawSamples: 2_000_000,
    /** What is held is told again after this, when its reasons stay. */
    toldMs: 10 * 60_000,
    /** How long a release lets pass what guardrails would hold: 60% of demand at 5% in 10 minutes. */
    releaseMs: 2 * 3_600_000,
    /** The effect of a publication is measured this long after it. */
    measuredMs: 15 * 60_000,
    /** Moves of a publication whose effect is measured, and publications that wait for it. */
    measuredMoves: 1_000,
    measuredWaiting: 100,
    /** Entries of `ufes history`. */
    shown: 1_000,
  },
  plan: {
    /** Clients × classes of names that are decided for: half a second a round. Beyond, every n-th client stands for n. */
    decisions: 500_000,
    /** Of many prefixes every n-th is decided for: estimates of these at 30 PoPs take 12 MB. */
    prefixes: 100_000,
    /** Shares of full PoPs are followed for so long, or until they have been steady for a while. */
    roomMs: 30 * 60_000,
    steadyMs: 5 * 60_000,
    /** Worse by more than this is harm. */
    harmMs: 5,
    /** Prefixes and countries that are listed. */
    worst: 20,
    countries: 60,
    /** Predictions that wait for their configuration, so long at most. */
    kept: 50,
    keptMs: 7 * 86_400_000,
    /** What happened is looked at when answers have run out and estimates have settled: so long after, and the longest TTL. */
    measuredMs: 15 * 60_000,
    /** The command waits so long: a build of a million prefixes takes ten seconds. */
    askMs: 120_000,
  },
  probe: {
    /** A beacon of 5 targets × 3 fetches is under 2 kB. */
    beaconBytes: 8 << 10,
    targetsPerPlan: 5,
    tokenMs: 5 * 60_000,
    /** Tokens live for minutes: a day is no effort, and what was stolen is worth nothing the day after the next. */
    tokenKeyMs: 24 * 3_600_000,
    /** Cells whose visitors are counted, for where most is to be learnt; of others each visitor counts as the first. */
    demandCells: 65_536,
    demandHalfLifeMs: 3_600_000,
    /** Reading a new map may keep a plan waiting so long. */
    sliceMs: 1,
    /** A round trip longer than this is an outage, not a distance. */
    rttMsMax: 10_000,
    /** PROXY protocol v2 header: 16 + 65,535 by its length field; addresses and TLVs in use are far smaller. */
    proxyHeaderBytes: 536,
    /** It is the first thing a proxy sends; a round trip between neighbours. */
    proxyHeaderMs: 2_000,
    /** Sum of waiting writes before beacons are refused with 503. */
    journalWaiting: 20_000,
    /** Beacons written and synced together: about 1 MB. */
    journalBatch: 2_000,
    /** A segment of the journal is deleted whole; small enough that the bounds below are kept closely. */
    journalSegmentBytes: 8 << 20,
    /** Replay for a store that comes back older; forwarded segments go when they exceed this or the age below. */
    journalBytes: 512 << 20,
    journalMs: 24 * 3_600_000,
    /** A refused beacon may come again after this: a backlog of that length is a disk's hiccup. */
    retryAfterSeconds: 2,
    /** A mark in each shard: 40 bytes, so that tokens are forgotten this long after they expired. */
    markMs: 30_000,
    /** Samples forwarded to the stream in one go; between goes, so that a trickle shares transactions. */
    forwardRecords: 2_000,
    forwardMs: 25,
    /** An idle collector asks the store this often what it holds, in case it came back older. */
    forwardCheckMs: 5_000,
    /** Idle keep-alive connection of a browser; whole request must arrive within `requestMs`. */
    idleMs: 5_000,
    requestMs: 10_000,
    /** Late requests are looked for this often: node's own 30 s would make `requestMs` forty. */
    requestCheckMs: 1_000,
    connections: 10_000,
    /** Addresses and prefixes whose beacons are counted, 16 bytes each, powers of two: an hour of ten times as many beacons as one collector takes from a botnet of 10,000. */
    cappedAddresses: 1 << 17,
    cappedPrefixes: 1 << 16,
    /** What edges tell every 10 s is looked for this often; labels of it that are held, some 100 bytes each, twice. */
    seenMs: 2_000,
    seenLabels: 100_000,
    /** Hosts that an operator looks after by hand. */
    agents: 1_024,
    /** A revoked key is refused by other collectors after this. */
    agentsMs: 5_000,
    /** Of a signature's time: as long as a token lives. */
    agentClockMs: 5 * 60_000,
    /** One every 10 s and some: what is measured oftener says nothing more. */
    agentReportsPerHour: 400,
    /** Of the agent itself: between reports at least, between targets, before the first report at most, after failures at most. */
    agentEveryMsMin: 10_000,
    agentPauseMs: 200,
    agentSpreadMs: 30_000,
    agentRetryMsMax: 10 * 60_000,
    agentFetchMs: 10_000,
    agentAnswerBytes: 64 << 10,
    /** Refused prefixes that are told of, some 200 bytes each; those refused most stay. */
    refusedPrefixes: 2_000,
    /** Beacons under way when the collector stops. */
    drainMs: 1_000,
  },
  dns: {
    /** DNS flag day 2020; also what we advertise. */
    udpBytes: 1232,
    /** A descriptor and some 20 kB each: well within the usual 20,000, and 40 MB. */
    tcpConnections: 2_000,
    /** Of one /24 or /56. RFC 7766 §6.2.2 asks clients to make do with one each. */
    tcpPerClient: 200,
    tcpIdleMs: 10_000,
    /** When all connections are in use; two round trips to anywhere. */
    tcpIdleMsMin: 500,
    /** An idle connection has our FIN, and its client this long to notice: what it asks meanwhile must not meet a reset. */
    tcpLingerMs: 1_000,
    tcpSweepMs: 250,
    /** Answers to one network before it is the next one's turn: 0.1 ms. */
    tcpTurn: 16,
    /** Those whose turn it is again wait for what came meanwhile after this long. */
    tcpRoundMs: 0.5,
    /** Connections accepted in a round: 20,000 a second in the shortest of them, some hundreds in the longest. */
    tcpAcceptors: 8,
    /** Waiting answer bytes on a TCP connection before reading pauses, beyond what the kernel holds. */
    tcpBacklogBytes: 16 << 10,
    /** The kernel's, of a connection: some 200 queries on their way at a time; answers are as many bytes and more. */
    tcpReceiveBytes: 16 << 10,
    tcpSendBytes: 64 << 10,
    /** At stop, for peers to read their last answers. */
    tcpDrainMs: 1_000,
    /** Of these, a pause in which a connection can end: longer than the way to nearby resolvers. */
    tcpQuietMs: 12,
    /** `dns replace`: open TCP connections go over in messages of so many, and of unanswered bytes in all. */
    passConnections: 100,
    passBytes: 30_000,
    /** Looked for this often on both sides: the pause that their clients see. */
    passMs: 5,
    /** The new process looks for no longer than the old one may take to leave. */
    passEndMs: 30_000,
    /** CNAME links followed inside our zones. */
    chain: 8,
    /** Answers remembered for the dashboard. */
    recentAnswers: 4_096,
    /** A farm of resolvers asks for the names of a plan from several addresses. */
    resolversOfId: 4,
    /** Of a thread: each costs the main thread 9 µs, so that at any load it is 0.2% of a core; all are in quiet times. */
    remembered: { perMs: 0.2, most: 256 },
    /** More than cores of any machine; each holds a few megabytes. */
    threads: 64,
    /** Datagrams taken in by one system call: more gains nothing, and each waits for those before it. */
    batch: 64,
    /** A query with every option is a few hundred bytes; a longer datagram is cut, and answered with FORMERR. */
    queryBytes: 4_096,
    /** Of each UDP socket: a tenth of a second's queries at full load. */
    socketBufferBytes: 4 << 20,
    /** Of nice, where it may: an answer takes microseconds, and waits for nobody who computes for longer. */
    threadStepsForward: 10,
    /** The kernel's shortest turns: a batch of answers takes less, and whoever computes is put aside for it at once. */
    threadTurnUs: 100,
    /** Memory of maps that waits for the next ones: one is used in turn with that in service, one is for a thread that is late. */
    spareMaps: 2,
    /** So much more than a map takes is kept for it, since the next ones may be longer; not touched, it takes no memory. */
    mapSlack: 0.25,
    /** Memory of more than so many times what a map takes is not for it: it shrank for good. */
    mapRoomMost: 4,
    /** Of nice, below the threads: maps and checks of health still get a quarter of a core that both want. */
    mainStepsBack: 5,
    /** An idle thread looks for orders this often; a busy one after each batch. */
    idleThreadMs: 50,
    /** Time a busy thread gives to building new tables between two batches. */
    sliceMs: 0.5,
    /** Records or services in one message to a thread: read within a slice or two. */
    handOver: 100,
    /** What threads saw is gathered this often. */
    gatherMs: 100,
    /** `dns replace`: both processes answer for this long, so that the new one's code is compiled. */
    overlapMs: 1_000,
    /** A thread that failed is started again after this. */
    threadRestartMs: 100,
    /** One that keeps failing, after this; one that answered for longer begins anew with the above. */
    threadRestartMsMax: 5_000,
    /** A thread must have read its tables and be ready within this. */
    threadStartMs: 20_000,
    /** Lines of the query log that wait for the disk. */
    queryLogBytes: 8 << 20,
    /** Sets of four networks whose rate is known (64 bytes a set), a power of two: 65,536 networks that ask at once. */
    rateSets: 16_384,
    /** Name server id (RFC 5001) and CHAOS texts: they ride in every answer that asks, so they stay short. */
    serverIdBytes: 64,
    /** RFC 7873 §7.1 wants a new key at most every 36 days; the old one is of use for an hour, so a day is no effort. */
    cookieKeyMs: 24 * 3_600_000,
    /** A map of measurements that is this old is said to be (RFC 8914, Stale Answer): it is made anew every few seconds. */
    staleMs: 24 * 3_600_000,
    /** Admin forces at a time: one bit each in a word of live state. */
    forces: 32,
    /** Between two steps of the shares that full PoPs keep; on the wall clock, so that nodes step together. */
    feedbackMs: 30_000,
    /** The longest TTL that a service may have. */
    ttlMsMax: 86_400_000,
    /** Audit entries that wait for the store, with the orders they are of. */
    untoldAudits: 1_000,
    /** Pinned and explaining names beside the steered ones: a thousand services at thirty PoPs, and a few megabytes. */
    debugNames: 32_768,
    /** Of a glob over names; nothing longer is a name. */
    globChars: 254,
    /** Longest admin force or drain: what must hold longer is configuration. */
    forceMs: 30 * 24 * 3_600_000,
    /** One step of a share, at most. */
    shareStep: 0.1,
    /** Waits for a first artefact or health verdict before answering from what it has. */
    startMs: 2_000,
  },
  edge: {
    /** Client addresses whose requests are counted in half a minute, and cells that are told of: half a megabyte. */
    clientsCounted: 65_536,
    cellsTold: 20_000,
    headerBytes: 32 << 10,
    headers: 128,
    /** Idle client connection. */
    idleMs: 60_000,
    /** Whole request header must arrive within. */
    headerMs: 10_000,
    connectMs: 2_000,
    responseMs: 30_000,
    /** Idle connection to an origin: less than the 5 s after which common servers close theirs, so that we close first. */
    originIdleMs: 4_000,
    /** Connections, thus requests at a time, per origin endpoint. */
    poolConnections: 256,
    /** Requests waiting for one of them: a burst of a few busy HTTP/2 clients; more are refused with 503. */
    poolWaiting: 1_024,
    drainMs: 4_000,
    /** Of drainMs: new connections are still taken while clients read GOAWAY and `Connection: close`. */
    drainAcceptMs: 500,
    /** Client connections per address: two descriptors each must fit in the usual 20,000. */
    connections: 8_000,
    /** Concurrent requests on one HTTP/2 connection: the value RFC 9113 §6.5.2 recommends as a minimum, and a little. */
    streams: 128,
    /** Streams that a client may reset at once, and again per second after that (rapid reset, CVE-2023-44487). */
    resetBurst: 200,
    resetsPerSecond: 50,
    /** A certificate that was replaced under its name is noticed this late at most. */
    certificateMs: 5_000,
    /** An address that could not be bound is tried again this often. */
    rebindMs: 2_000,
    /** One answer in this many is logged (level debug); what the edge refused or cut, always. */
    accessLogEvery: 100,
    /** Connections for probe names between two takes, `evidenceMs` apart: 8,000 a second. */
    probesTaken: 4_096,
    evidenceMs: 500,
    /** Edge-timed samples that wait for the stream; the oldest go. Nobody was promised them. */
    evidenceWaiting: 20_000,
    /** A flight this long goes out at once: ten segments (RFC 6928) of 1,220 bytes, what IPv6 has at least. */
    flightBytesMax: 12_200,
    /** Addresses are remembered no longer, nor what they sent. */
    addressMs: 10 * 60_000,
    addressesCounted: 65_536,
    /** Probe IDs told at a time, by an edge or a dns node, for the join of resolvers and clients: 60 kB. */
    idsTold: 1_024,
    tellIdsMs: 10_000,
    /** `ufes-reason` and 503 tell clients to come back after this. */
    retryAfterSeconds: 1,
  },
  health: {
    intervalMs: 500,
    timeoutMs: 500,
    failures: 3,
    successes: 5,
    /** A vote older than this many intervals no longer counts. */
    voteIntervals: 3,
    /** Where so many vantages are live, it takes a majority of this many to move a PoP. */
    quorum: 3,
    /** Other PoPs that an edge checks: each PoP has so many edges' votes, and a check costs two handshakes a second. */
    neighbours: 5,
    bodyBytes: 4 << 10,
    /** Of a response that is read by hand: node's own bound for all headers. */
    headBytes: 16 << 10,
    /**
     * http(s) checks that share a connection: a new one costs six times as much as a check, and 30 PoPs at two a second
     * are 7% of a core with each on its own, 2% so. Who serves its old connections but accepts no new one (out of
     * descriptors) is seen within this many intervals more.
     */
    checksPerConnection: 10,
    /** Connections that share a TLS session: two thirds of the cost; a certificate gone bad is seen within 15 s. */
    connectionsPerSession: 3,
    /** First checks of many targets start this far apart: a node that starts knows all soon, without a storm. */
    rampMs: 5,
    /** The longest external verdict: who needs longer changes the configuration. */
    verdictMsMax: 7 * 86_400_000,
    reasonChars: 200,
    /** Changes of state that come together are kept on disk in one write; the age of what is kept is known this well. */
    keepMs: 500,
    keepAgainMs: 60_000,
  },
  controller: {
    /** One file of objects: a Secret or a long EndpointSlice list fits many times. */
    objectBytes: 1 << 20,
    /** Lexemes of YAML in it: EndpointSlices up to that size have 410,000; each costs the event loop 2 µs. */
    objectPieces: 450_000,
    objects: 20_000,
    /** Waits after a change, so that a burst of writes is one reconcile. */
    debounceMs: 50,
    /** Looks at files this often without a hint from the file system. */
    pollMs: 1_000,
    /** Waits for PoPs that are up, or dns nodes, to apply a version; then goes on with those that have. */
    appliedMs: 5_000,
    /** A released VIP rests for the longest TTL, and at least for this: some resolvers hold on longer than they may. */
    quarantineMs: 10 * 60_000,
    /** Failed reconciles (the store is gone) are tried again after this. */
    retryMs: 500,
    /** Certificates from files and Secrets, and lives of issued ones, are looked at this often. */
    certificatesMs: 10_000,
  },
  dashboard: {
    /** Entries of the page Changes. */
    changes: 500,
    /** Rows of each table of the page Quarantine. */
    apart: 1_000,
    /** An explanation of the past: a map of then is unpacked, and its predecessors. */
    pastMs: 30_000,
    /** Event streams at once: every operator and a few screens; each costs a write a second. */
    eventClients: 64,
    /** Unsent bytes of an event stream before it is cut; its page connects again and gets everything whole. */
    eventBacklogBytes: 2 << 20,
    /** Answers are shown over buckets × milliseconds = 5 minutes. */
    answerBuckets: 60,
    answerBucketMs: 5_000,
    recentAnswers: 12,
    /** Prefixes on the map: more are not told apart there. */
    users: 2_000,
    /** Prefixes whose place is remembered. */
    placesRemembered: 50_000,
    /** Another process answers its local socket within this, or counts as missing. */
    askMs: 2_000,
    /** Text fields of /api/explain: a domain name is 254 at most. */
    queryChars: 254,
  },
  supervisor: {
    /** First restart at once, then doubling up to this. */
    restartMsMax: 10_000,
    /** A process that does not answer its parent for this long hangs and is restarted. */
    hungMs: 30_000,
    /** `ufes up` says what does not serve after this long. */
    startMs: 30_000,
    /** Then waits this long for PoPs to be seen up for good: hysteresis of the default checks, and rests after flips. */
    checkedMs: 12_000,
    /** A rehearsal is watched; longer than a day is a decommissioning, and a timer holds 24.8 days at most. */
    failMsMax: 86_400_000,
    /** After "stop" a process is killed: an edge has drained by then, and `stopMs` is not over. */
    killMs: 4_600,
    /** Ctrl-C to exit. */
    stopMs: 5_000,
    /** A replacing process learns all and answers within this: a million prefixes take seconds on a busy machine. */
    replaceMs: 60_000,
  },
} as const;

function relation(holds: boolean, text: string): void {
  if (!holds) throw new Error(`limits: ${text}`);
}
relation(limits.edge.drainMs < limits.supervisor.killMs, 'an edge must drain before the supervisor gives up');
relation(limits.supervisor.killMs < limits.supervisor.stopMs, 'processes must be gone when the supervisor goes');
relation(limits.redis.callMs < limits.redis.silentMs, 'calls fail before their connection is given up');
relation(limits.store.busySliceMs < limits.store.busyMs, 'a wait is made of slices');
relation(limits.store.appliedMs > 3 * limits.store.pollMs, 'an applied version must be told again before it expires');
relation(limits.edge.drainAcceptMs < limits.edge.drainMs, 'open requests need time after the listeners have closed');
relation(
  limits.probe.journalBytes >= 4 * limits.probe.journalSegmentBytes,
  'the journal is deleted by segments, it must hold some',
);
relation(
  limits.probe.agentReportsPerHour * limits.probe.agentEveryMsMin > 3_600_000,
  'an agent at its quickest must stay below its cap',
);
relation(limits.dns.forces <= 32, 'a service holds its forces in the bits of one word');
relation(limits.health.timeoutMs <= limits.health.intervalMs, 'one check at a time per target');
relation(limits.history.liveWholeEvery < limits.history.liveRows, 'a whole live state must be in reach of its readers');
relation(limits.history.liveMs < limits.history.loadMs, 'a journal is sent oftener than loads are noted');
