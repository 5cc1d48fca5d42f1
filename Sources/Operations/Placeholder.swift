import Hummingbird
import Yams
import NIOPosix
import NIOHTTP1
import Logging
