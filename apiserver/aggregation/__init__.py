"""APIService aggregation: group versions that other servers serve, behind this one's address.

`availability` (pure) says what an APIService and its server come to, `backend` talks to the servers, `aggregator`
follows the APIServices and routes requests.
"""
