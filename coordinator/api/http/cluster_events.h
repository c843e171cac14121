// The cluster's state as server-sent events. Source: the HTML standard, "Server-sent events".
#pragma once

#include <memory>

#include "coordinator/api/cluster_watch.h"
#include "coordinator/api/http/http_server.h"

namespace potluck::coordinator {

// Until the client goes; 429 where too many watch already.
void WatchCluster(ClusterWatch& watch, std::shared_ptr<HttpExchange> exchange);

}  // namespace potluck::coordinator
