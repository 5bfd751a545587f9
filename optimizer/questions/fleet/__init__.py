"""Which chips for several services, each with traffic of several sizes?"""
